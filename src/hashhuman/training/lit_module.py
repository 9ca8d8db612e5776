"""The Lightning module of training. It is thin: the avatar, the losses and the step do the work."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hashhuman.avatar.images import RenderedImage
from hashhuman.avatar.prediction import Prediction
from hashhuman.avatar.protocol import Avatar
from hashhuman.data.datamodule import Draw, SubjectDataModule, View
from hashhuman.errors import UserError
from hashhuman.exposure.gains import Exposure, FixedExposure
from hashhuman.gpu.capacity import RayCapacity
from hashhuman.gpu.side_stream import SideStream
from hashhuman.training.divergence import Watch
from hashhuman.training.losses import Loss, check_losses, color_errors, weighted_sum
from hashhuman.training.schedules import Schedule
from hashhuman.training.step.eager import EagerStep, StepResult
from hashhuman.training.step.graph import GraphStep


class HumanModule(L.LightningModule):
    """Trains an avatar.

    Args:
        avatar: the avatar to train, a `torch.nn.Module`.
        losses: name -> term of the objective.
        optimizer: factory of the optimizer, called with the avatar's parameter groups.
        schedule: factor of the learning rate at each step.
        step: factory of the object that executes a step (`training/step/`).
        log_every: steps between two logged values of the losses. Reading a value makes the host wait for the GPU.
        exposure: gains of the training pictures; None: all are 1.
    """

    def __init__(
        self,
        avatar: Avatar,
        losses: dict[str, Loss],
        optimizer: Callable[..., Optimizer],
        schedule: Schedule,
        step: Callable[..., EagerStep | GraphStep],
        log_every: int,
        exposure: Exposure | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # the step, which may be a CUDA graph, contains the update
        self.avatar, self.losses, self.exposure = avatar, nn.ModuleDict(losses), exposure or FixedExposure(0)
        self.make_optimizer, self.schedule, self.make_step = optimizer, schedule, step
        self.log_every = log_every
        self.step: EagerStep | GraphStep | None = None
        self.logged_at = 0  # the step whose loss was logged last; for callbacks that show it
        self.resumed_execution: dict[str, Any] = {}  # state of `step` in the checkpoint that is continued
        self.watch = Watch()
        self.progress: Callable[[int], float] | None = None  # share that is over after a step; None: by steps
        self.active = frozenset(name for name, loss in losses.items() if loss.weight and not loss.start)
        self.last_view: tuple[View, RenderedImage] | None = None  # for callbacks that show pictures

    @property
    def datamodule(self) -> SubjectDataModule:
        """The data module of the trainer."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def on_fit_start(self) -> None:
        """Poses the bodies of all training frames once. Raises UserError if a loss cannot work."""
        check_losses(self._losses())
        sampler = self.datamodule.ray_sampler
        for loss in self._losses().values():
            if loss.weight:
                loss.check_patches(sampler.n_patches, sampler.patch_size)
        self.scene: Any = self.avatar.prepare(self.datamodule.train_poses, self.datamodule.train_frames)

    def _losses(self) -> dict[str, Loss]:
        return dict(self.losses)  # type: ignore[arg-type]

    def _begin_terms(self) -> bool:
        """Adds the terms whose start has come, for good. Returns whether there are any."""
        progress = self.progress or (lambda step: step / self.trainer.max_steps)
        over, before = progress(self.global_step), self.active
        due = (name for name, loss in self._losses().items() if loss.weight and loss.start <= over)
        self.active = before.union(due)
        return self.active != before

    def objective(self, draw: Draw, ray_factor: float = 1.0, capacity: RayCapacity | None = None) -> StepResult:
        """Draws and renders a batch of rays, and computes the losses whose start has come.

        Args:
            draw: draws a batch with a given multiple of the configured number of rays, and patches if asked to.
            ray_factor: this multiple.
            capacity: fixed sizes for rendering; see `Avatar.predict`.
        """
        step = self.global_step + 1
        losses = {name: loss for name, loss in self._losses().items() if name in self.active and loss.due(step)}
        batch = draw(ray_factor, any(loss.on_patches for loss in losses.values()))
        side = SideStream(batch.mask.device)
        prediction = self.exposed(self.avatar.predict(batch, self.scene, capacity))
        loss, terms = weighted_sum(losses, prediction, side)
        if not loss.requires_grad:
            raise UserError(
                f"None of the losses ({', '.join(terms)}) depends on the avatar here: give loss.color.weight a value."
            )
        if self.datamodule.error_map is not None:
            errors, complete = color_errors(prediction).detach(), prediction.rendering.samples.complete
            self.datamodule.observe(batch, torch.where(complete, errors, torch.nan))
        self.watch(loss, terms, prediction.batch, step)
        return StepResult(loss, terms, prediction.needs)

    def exposed(self, prediction: Prediction) -> Prediction:
        """A prediction as the cameras took it. The gain is the person's alone: backgrounds come after it."""
        log_gains: Any = self.exposure.log_gains()
        color = self.exposure.expose(prediction.rendering.color, prediction.batch.pictures, log_gains)
        rendering = dataclasses.replace(prediction.rendering, color=color)
        return dataclasses.replace(prediction, rendering=rendering, log_gains=log_gains)

    def training_step(self, batch: Draw, batch_idx: int) -> None:
        """Takes one step. The batch is a function that draws rays on the device, so that drawing is captured, too."""
        more = self._begin_terms()
        if self.step is None:
            rare = (
                f"loss.{name}.every is above 1"
                for name, loss in self._losses().items()
                if loss.weight and loss.every > 1
            )
            obstacle = self.avatar.capture_obstacle() or next(rare, None)
            self.step = self.make_step(partial(self.objective, batch), self.optimizer, obstacle=obstacle)
            self.step.load_state_dict(self.resumed_execution)
        elif more:
            self.step.remeasure()
        result: StepResult = self.optimizers().step(closure=self.step)  # type: ignore[union-attr]
        self.scheduler.step()
        self.scene, changed = self.avatar.after_step(self.scene, self.global_step)
        if changed:
            self.step.invalidate()
        self.datamodule.after_step(self.global_step)
        if self.global_step % self.log_every == 0:  # the steps at which loggers write
            self.watch.check(self.global_step)
            terms = {f"train/{name}": value for name, value in result.terms.items()}
            self.log_dict({"train/loss": result.loss} | terms)
            self.logged_at = self.global_step

    def on_fit_end(self) -> None:
        """Frees the memory of the step."""
        self.step = None

    def validation_step(self, batch: View, batch_idx: int) -> None:
        """Renders one whole picture and logs its PSNR."""
        pose = self.avatar.refined_pose(batch.pose, batch.number)
        rendered = self.avatar.render_image(batch.camera, pose, batch.frame)
        error = (rendered.rgb - batch.image.to(rendered.rgb.device)).square().mean()
        self.log("val/psnr", -10 * torch.log10(error.clamp_min(1e-10)), prog_bar=True, batch_size=1)
        self.last_view = batch, rendered

    def configure_optimizers(self) -> Optimizer:
        """Makes the optimizer. `training_step` advances its schedule."""
        groups = [*self.avatar.parameter_groups(), *self.exposure.parameter_groups()]
        factors = [group.pop("factor", None) for group in groups]
        self.optimizer = self.make_optimizer(groups)
        schedule = self.schedule
        own = [schedule if factor is None else _product(schedule, factor) for factor in factors]
        self.scheduler = LambdaLR(self.optimizer, own)
        return StepCounter(self.optimizer)


def _product(schedule: Callable[[int], float], factor: Callable[[int], float]) -> Callable[[int], float]:
    return lambda step: schedule(step) * factor(step)


class StepCounter(Optimizer):
    """The optimizer that Lightning sees, to count steps. Its `step` runs the closure, which updates by `optimizer`."""

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer.param_groups, {})

    def step(self, closure: Callable | None = None):  # type: ignore[override]
        """Runs the closure."""
        assert closure is not None
        return closure()
