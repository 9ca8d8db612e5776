"""Notices when training breaks down: a loss or a weight that is infinite or no number.

Such a value spreads to all weights within some steps, so training stops, and the batch with which it began is kept.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hashhuman.data.batch import RayBatch
from hashhuman.errors import UserError
from hashhuman.geometry.rays import Rays
from hashhuman.io import checkpoint

FILE = "diverged.pt"
ADVICE = "lower the learning rate (optimizer.lr=), or correct the loss"


class Diverged(UserError):
    """Training broke down.

    Args:
        what: what happened, as a clause.
        step: the step, counted from 1.
        terms: the loss terms of that step.
        batch: its rays, on any device; None: not known.
    """

    def __init__(self, what: str, step: int, terms: dict[str, float], batch: RayBatch | None) -> None:
        super().__init__(f"Training broke down at step {step}, since {what}: {ADVICE}.")
        self.what, self.step, self.terms, self.batch = what, step, terms, batch

    def saved(self, folder: Path) -> UserError:
        """Saves step, terms and batch to `diverged.pt` in the run folder; returns the error that says so."""
        if self.batch is None:
            return self
        batch, rays = self.batch, self.batch.rays
        arrays = {
            "rays_o": rays.rays_o, "rays_d": rays.rays_d, "frames": rays.frames, "color": batch.color,
            "mask": batch.mask, "background": batch.background, "pictures": batch.pictures,
        }  # fmt: skip
        content = {
            "step": self.step,
            "terms": self.terms,
            "patch": batch.patch,
            "batch": {name: tensor.detach().cpu() for name, tensor in arrays.items() if tensor is not None},
        }
        checkpoint.save(folder / FILE, content)
        return UserError(
            f"Training broke down at step {self.step}, since {self.what}: {ADVICE}. "
            f"Its rays are in {folder / FILE}, and the checkpoints before it stay."
        )


def load_batch(folder: Path) -> tuple[int, dict[str, float], RayBatch]:
    """The step, the loss terms and the rays with which a training broke down. Raises UserError as `checkpoint.load`."""
    content = checkpoint.load(folder / FILE)
    arrays = content["batch"]
    rays = Rays(arrays["rays_o"], arrays["rays_d"], arrays["frames"])
    batch = RayBatch(
        rays, arrays["color"], arrays["mask"], arrays["background"], content["patch"], arrays.get("pictures")
    )
    return content["step"], content["terms"], batch


class Watch:
    """Notices the first step with a loss that is not finite, and keeps its batch.

    On the CPU it raises at once, before the weights are changed. On a GPU the host must not wait in every step, and the
    step may be captured as a CUDA graph: there the first such batch is kept in memory on the device, and `check` asks
    for it.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.example: RayBatch | None = None
        self.clean: Tensor | None = None  # whether all losses so far were finite
        self.good: Tensor  # number of steps with finite losses since the first `watch` or `check`
        self.kept: Tensor  # the batch and the terms of the last finite step, or of the first other one
        self.checked_at = 0

    def __call__(self, loss: Tensor, terms: dict[str, Tensor], batch: RayBatch, step: int) -> None:
        """Watches the losses of a step; `step` is counted from 1, and used on the CPU only."""
        loss = loss.detach()
        if loss.device.type != "cuda":
            if not torch.isfinite(loss):
                values = {name: float(term.detach()) for name, term in terms.items()}
                raise Diverged(_clause(values), step, values, batch)
            return
        self.keep(loss, terms, batch)

    def keep(self, loss: Tensor, terms: dict[str, Tensor], batch: RayBatch) -> None:
        """Watches a step without making the host wait; `check` raises. Can be captured in a CUDA graph."""
        with torch.no_grad():
            loss = loss.detach()
            flat = torch.cat([*_flat(batch), *(term.detach().float().reshape(1) for term in terms.values())])
            if self.clean is None:
                self.clean = torch.ones((), dtype=torch.bool, device=loss.device)
                self.good = torch.zeros((), dtype=torch.int64, device=loss.device)
            if self.example is None or flat.shape != self.kept.shape:
                if self.example is not None and not bool(self.clean):  # never while a graph is captured
                    return
                self.names, self.example, self.kept = list(terms), batch, flat.clone()
            finite = (loss - loss) == 0
            torch.where(self.clean, flat, self.kept, out=self.kept)
            self.clean.logical_and_(finite)
            self.good.add_(self.clean)

    def check(self, step: int) -> None:
        """Raises `Diverged` if a loss up to `step` was not finite. The host waits for the device."""
        if self.clean is None:
            return
        good, before = int(self.good.item()), self.checked_at
        self.checked_at = step
        if bool(self.clean):
            self.good.zero_()
            return
        assert self.example is not None
        values = self.kept[-len(self.names) :].tolist()
        terms = dict(zip(self.names, values))
        raise Diverged(_clause(terms), before + good + 1, terms, _unflat(self.kept, self.example))


def _clause(terms: dict[str, float]) -> str:
    bad = [f"the loss {name} was {value:g}" for name, value in terms.items() if not abs(value) < float("inf")]
    return " and ".join(bad) or "the sum of the losses was too large for float32"


def check_weights(module: torch.nn.Module, step: int) -> None:
    """Raises `Diverged` if a weight is not finite. The host waits for the device."""
    parameters: list[Any] = [(name, x) for name, x in module.named_parameters() if x.is_floating_point()]
    if parameters and not bool(torch.stack([torch.isfinite(x).all() for _, x in parameters]).all()):
        name = next(name for name, x in parameters if not bool(torch.isfinite(x).all()))
        raise Diverged(f"the weights {name} were not finite after it", step, {}, None)


def _flat(batch: RayBatch) -> list[Tensor]:
    rays = batch.rays
    parts = (rays.rays_o, rays.rays_d, rays.frames, batch.color, batch.mask, batch.background, batch.pictures)
    return [part.float().reshape(-1) for part in parts if part is not None]


def _unflat(flat: Tensor, example: RayBatch) -> RayBatch:
    n = len(example.mask)
    rays_o, rays_d, frames, color, mask, background = flat[: 14 * n].split([3 * n, 3 * n, n, 3 * n, n, 3 * n])
    rays = Rays(rays_o.view(n, 3), rays_d.view(n, 3), frames.round().to(example.rays.frames.dtype))
    pictures = None if example.pictures is None else flat[14 * n : 15 * n].round().to(example.pictures.dtype)
    return RayBatch(rays, color.view(n, 3), mask, background.view(n, 3), example.patch, pictures)
