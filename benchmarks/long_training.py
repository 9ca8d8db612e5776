"""Why pictures get worse in long trainings: weights, densities and gradients after N steps and after several times N.

    python benchmarks/long_training.py SCENE ... [--steps 5000] [--times 6] [--only NAME ...] [-- OVERRIDES of train.py]

Trains a subject (a folder in the ZJU-MoCap layout) as configured, and with one thing changed at a time (`VARIANTS`),
each for N steps and for `--times` as many. Every tenth frame is held out.

`psnr_box` is that of the held-out frames, `color` the colour loss on fresh rays of the training frames. `rms` and `max`
are of the weights of each parameter; `opaque` and `empty` are the shares of samples on these rays whose density is
above 10,000/m and below 1e-6/m. `grad` is the norm of the gradient of each term, with its weight, in all of the
avatar's parameters.

Rows are kept in results/long_training_DEVICE.json, from which results/long_training_DEVICE.md is written.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from torch import nn

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.overrides import cut  # noqa: E402
from benchmarks.speed import QUICK, train_here  # noqa: E402
from benchmarks.tables import Book, Row, reproducible  # noqa: E402
from hashhuman.avatar.prediction import Prediction  # noqa: E402
from hashhuman.io.files import load_json  # noqa: E402
from hashhuman.training import run  # noqa: E402
from hashhuman.training.callbacks import Carve  # noqa: E402
from hashhuman.training.losses import ColorLoss, Loss  # noqa: E402

TITLES = {"compare": "Short and long trainings, with one thing changed at a time"}
VARIANTS: dict[str, tuple[str, ...]] = {
    "as configured": (),
    "sum of rates not bounded": ("optimizer.schedule.full_steps=1000000000",),
    "weights decay": ("optimizer.optimizer._target_=torch.optim.AdamW", "+optimizer.optimizer.weight_decay=0.1"),
    "eps 1e-8": ("optimizer.optimizer.eps=1e-8",),  # gradients far below it no longer move a weight by a whole step
    "no mask loss": ("loss.mask.weight=0",),
    "no sparsity": ("loss.sparsity.weight=0",),
    "no completion": ("loss.completion.weight=0",),
    "no light": ("field/shading=none",),
}
OPAQUE, EMPTY = 1e4, 1e-6  # 1/m
RAYS = 4  # batches of rays that are looked at


def trained(scene: Path, steps: int, overrides: Iterable[str]) -> Row:
    """Trains, and looks at what was learned."""
    options = ["data.holdout_every=10", "eval.splits=[heldout]", *QUICK]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        train_here(scene, [*options, f"trainer.max_steps={steps}", *overrides], folder)
        mean = load_json(folder / "evaluation/metrics.json")["splits"]["heldout"]["mean"]
        return {"psnr_box": mean["psnr_box"]} | looked_at(folder)


def looked_at(folder: Path) -> Row:
    """Weights, densities and gradients of a finished run, on rays of its training frames."""
    module, data, config = run.load(folder)
    data.setup("fit")
    assert data.store is not None
    avatar: Any = module.avatar.to("cuda" if torch.cuda.is_available() else "cpu")
    module.exposure.to(avatar.device)
    scene = avatar.prepare(data.train_poses, data.train_frames)
    for callback in instantiate(config.callbacks).values():
        if isinstance(callback, Carve):  # the term of what was not filmed needs its surface
            callback.begin(avatar, scene, data)
            avatar.surface.read(avatar.field)
    torch.manual_seed(0)
    row: Row = sizes(avatar)
    for _ in range(RAYS):
        batch = data.ray_sampler.draw(data.store).to(avatar.device)
        prediction = module.exposed(avatar.predict(batch, scene))
        with torch.no_grad():
            density = avatar.field(prediction.pairs)[1]
        found = {
            "color": float(ColorLoss(1.0)(prediction).detach()),
            "opaque": float((density > OPAQUE).float().mean()),
            "empty": float((density < EMPTY).float().mean()),
        }
        losses: dict[str, Loss] = dict(module.losses)  # type: ignore[arg-type]
        found |= gradients(losses, prediction, avatar)
        row |= {name: row.get(name, 0.0) + value / RAYS for name, value in found.items()}
    return row


def sizes(module: nn.Module) -> Row:
    """Root mean square and greatest magnitude of each parameter."""
    named = {name.removeprefix("field."): value.detach().float() for name, value in module.named_parameters()}
    rms = {f"rms {name}": float(value.square().mean().sqrt()) for name, value in named.items()}
    return rms | {f"max {name}": float(value.abs().max()) for name, value in named.items()}


def gradients(losses: dict[str, Loss], prediction: Prediction, module: nn.Module) -> Row:
    """The norm of each weighted term's gradient in all parameters; terms without one are left out."""
    parameters, row = list(module.parameters()), {}
    for name, loss in losses.items():
        if not loss.weight or (loss.on_patches and prediction.batch.patch is None):
            continue
        term = loss.weight * loss(prediction)
        if term.requires_grad:
            found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
            squares = [gradient.square().sum() for gradient in found if gradient is not None]
            row[f"grad {name}"] = float(torch.stack(squares).sum().sqrt())
    return row


def main() -> None:
    """Trains all variants of all scenes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", type=lambda text: Path(text).resolve())
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--times", type=int, default=6)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    known, overrides = cut(sys.argv[1:])
    arguments = parser.parse_args(known)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    rows: list[Row] = []
    for scene in arguments.scenes:
        for name in arguments.only:
            for steps in (arguments.steps, arguments.steps * arguments.times):
                row = {"scene": scene.name, "label": f"{name}, {steps} steps", "device": device}
                rows.append(row | trained(scene, steps, [*VARIANTS[name], *overrides]))
                print(rows[-1], file=sys.stderr, flush=True)
    print(Book("long_training", TITLES, arguments.results).keep("compare", reproducible(sys.argv[1:]), rows))


if __name__ == "__main__":
    main()
