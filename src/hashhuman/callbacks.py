"""What happens beside training: pictures at validation, one line of progress, and the clock."""

import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hashhuman import pictures
from hashhuman.budget import Plan
from hashhuman.errors import UserError
from hashhuman.io.files import save_json
from hashhuman.loggers import log_image
from hashhuman.renderer.shell_sampler import ShellSampler


class ValidationPictures(L.Callback):
    """Logs truth, render and error map of every validated picture as one sheet, `val/pictures`.

    It reads `module.last_view`, the pair (View, RenderedImage) that the validation step left.
    """

    def __init__(self) -> None:
        self.rows: list = []

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Draws one row."""
        view, rendered = pl_module.last_view
        covered = (view.mask > 0) | (rendered.alpha.cpu() > 0.5)
        if trainer.is_global_zero and not trainer.sanity_checking and covered.any():
            title = f"{view.name}, step {trainer.global_step}"
            self.rows.append(pictures.comparison(rendered.rgb, view.image, covered, title))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs the sheet."""
        if self.rows:
            log_image(trainer.loggers, "val/pictures", pictures.sheet(self.rows, columns=1), trainer.global_step)
            self.rows = []


class ProgressLine(L.Callback):
    """One line: steps done, time, and the newest logged figures, read every `refresh_every` steps.

    Lightning's own bars read the loss after every step, for which the GPU has to be waited for.
    """

    def __init__(self, refresh_every: int) -> None:
        self.refresh_every = refresh_every

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Shows the line, once for all processes."""
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        figures = TextColumn("{task.fields[figures]}")
        self.progress = Progress(*columns, figures, disable=not trainer.is_global_zero)
        total = trainer.estimated_stepping_batches
        total = int(total) if total not in (-1, float("inf")) else None
        self.task = self.progress.add_task("training", total=total, figures="", completed=trainer.global_step)
        self.progress.start()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Brings it up to date, now and then."""
        if trainer.global_step % self.refresh_every == 0:
            self._refresh(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leaves the last state standing."""
        self._refresh(trainer)
        self.progress.stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Gives the terminal back."""
        if hasattr(self, "progress"):
            self.progress.stop()

    def _refresh(self, trainer: L.Trainer) -> None:
        shown = {name: value for name, value in trainer.callback_metrics.items() if name in ("train/loss", "val/psnr")}
        figures = "  ".join(f"{name} {float(value):.4g}" for name, value in shown.items())
        self.progress.update(self.task, completed=trainer.global_step, figures=figures)


class FirstSampler(L.Callback):
    """Lets another sampler choose the samples of the first steps, in which a field takes its rough shape: a coarser one
    makes them cheaper. A recorded step (`step=graph`) would go on with the sampler that it was recorded with.

    Args:
        sampler: of the first steps.
        steps: how many these are.
    """

    def __init__(self, sampler: ShellSampler, steps: int) -> None:
        self.sampler, self.steps = sampler, steps

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Remembers the avatar's own."""
        self.own = pl_module.avatar.sampler

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        """Puts the other in its place."""
        if trainer.global_step < self.steps:
            pl_module.avatar.sampler = self.sampler

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        """Puts it back: pictures are rendered with the avatar's own."""
        pl_module.avatar.sampler = self.own


class TrainingClock(L.Callback):
    """Times training from its first optimizer step, and ends it, and the schedule with it, when its time is up.

    What comes before that step (moving data, posing the bodies) is `setup_s`, counted from the making of this object;
    compiling kernels that are not yet compiled and recording steps fall into training. Validation and checkpoints are
    reported beside it and not counted in it. Writes the figures to `path` as JSON.

    Args:
        path: of the JSON file.
        max_seconds: of training, whatever number of steps that makes (`hashhuman.budget`); None for as many seconds as
            the steps take.
        nominal_steps: the length that the module's schedule was written for.
    """

    def __init__(self, path: str | Path, max_seconds: int | float | None, nominal_steps: int) -> None:
        if max_seconds is not None and (max_seconds <= 0 or nominal_steps < 1):
            raise UserError(
                f"budget_s={max_seconds} must be positive, and so must trainer.max_steps={nominal_steps}, whose "
                "schedule it stretches."
            )
        self.path = Path(path)
        self.plan = None if max_seconds is None else Plan(max_seconds, nominal_steps)
        self.made = time.perf_counter()
        self.started: float | None = None
        self.first_step = 0
        self.paused: float | None = None
        self.validation_s = self.checkpoint_s = 0.0

    def setup(self, trainer: L.Trainer, pl_module: Any, stage: str) -> None:
        """Stretches the schedule, before the module makes its optimizer."""
        if (plan := self.plan) is not None:
            schedule = pl_module.schedule
            pl_module.schedule = lambda step: schedule(plan.nominal(step), plan.stretch)

    @property
    def train_s(self) -> float:
        """Seconds of training so far, by the host's clock."""
        beside = self.validation_s + self.checkpoint_s
        return 0.0 if self.started is None else time.perf_counter() - self.started - beside

    def _pause(self, module: L.LightningModule) -> None:
        _wait(module.device)  # for what training asked of the device
        self.paused = time.perf_counter()

    def _resume(self, module: L.LightningModule) -> float:
        """Seconds since the pause; 0 if training had not begun, or was not interrupted."""
        if self.paused is None:
            return 0.0
        _wait(module.device)
        paused, self.paused = self.paused, None
        return 0.0 if self.started is None else time.perf_counter() - paused

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        """Starts at the first one."""
        if self.started is None:
            _wait(pl_module.device)
            self.started, self.first_step = time.perf_counter(), trainer.global_step

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Looks at the clock when the plan asks for it, and ends training when its time is up."""
        step = trainer.global_step - self.first_step
        if self.plan is not None and step >= self.plan.next_look:
            _wait(pl_module.device)
            self.plan.look(step, trainer.strategy.broadcast(self.train_s))
            trainer.should_stop = self.plan.over(step)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops the clock."""
        self._pause(pl_module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Lets it go on."""
        self.validation_s += self._resume(pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops the clock while a checkpoint is written, which Lightning does after all other callbacks."""
        self._pause(pl_module)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Lets it go on."""
        self.checkpoint_s += self._resume(pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes and prints the figures."""
        self.checkpoint_s += self._resume(pl_module)
        if not trainer.is_global_zero:
            return
        _wait(pl_module.device)
        steps, seconds = trainer.global_step - self.first_step, self.train_s
        cuda = pl_module.device.type == "cuda"
        figures = {
            "setup_s": (self.started or time.perf_counter()) - self.made,
            "train_s": seconds,
            "validation_s": self.validation_s,
            "checkpoint_s": self.checkpoint_s,
            "steps": steps,
            "processes": trainer.world_size,
            "device": torch.cuda.get_device_name(pl_module.device) if cuda else "cpu",
            "peak_gpu_bytes": torch.cuda.max_memory_allocated(pl_module.device) if cuda else None,
        }
        save_json(self.path, figures)
        Console().print(
            f"trained {steps} steps in {seconds:.1f} s on {figures['device']}, from the first optimizer step; "
            f"setup before it {figures['setup_s']:.1f} s, beside it {self.validation_s:.1f} s of validation and "
            f"{self.checkpoint_s:.1f} s of checkpoints",
            highlight=False,
            soft_wrap=True,
        )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
