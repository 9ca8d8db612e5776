"""What happens beside training: pictures at validation, one line of progress, and the clock."""

import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hashhuman import pictures
from hashhuman.data.files import save_json
from hashhuman.loggers import log_image


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
        if not trainer.sanity_checking and covered.any():
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
        """Shows the line."""
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, TextColumn("{task.fields[figures]}"))
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


class TrainingClock(L.Callback):
    """Times training from its first optimizer step, and stops it when its time is up.

    What comes before that step (moving data, compiling, capturing graphs) is `setup_s`, counted from the making of this
    object; validation is reported beside training and not counted in it. Writes the figures to `path` as JSON.

    Args:
        path: of the JSON file.
        max_seconds: of training; None for as many as the steps take.
    """

    def __init__(self, path: str | Path, max_seconds: float | None) -> None:
        self.path, self.max_seconds = Path(path), max_seconds
        self.made = time.perf_counter()
        self.started: float | None = None
        self.first_step = 0
        self.validation_s = 0.0

    @property
    def train_s(self) -> float:
        """Seconds of training so far, by the host's clock."""
        return 0.0 if self.started is None else time.perf_counter() - self.started - self.validation_s

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        """Starts at the first one."""
        if self.started is None:
            _wait(pl_module.device)
            self.started, self.first_step = time.perf_counter(), trainer.global_step

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Ends training when its time is up."""
        if self.max_seconds is not None and self.train_s > self.max_seconds:
            trainer.should_stop = True

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops the clock, once the device has done what training asked of it."""
        _wait(pl_module.device)
        self.paused = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Lets it go on."""
        _wait(pl_module.device)
        if self.started is not None:
            self.validation_s += time.perf_counter() - self.paused

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes and prints the figures."""
        _wait(pl_module.device)
        steps, seconds = trainer.global_step - self.first_step, self.train_s
        cuda = pl_module.device.type == "cuda"
        figures = {
            "setup_s": (self.started or time.perf_counter()) - self.made,
            "train_s": seconds,
            "validation_s": self.validation_s,
            "steps": steps,
            "device": torch.cuda.get_device_name(pl_module.device) if cuda else "cpu",
            "peak_gpu_bytes": torch.cuda.max_memory_allocated(pl_module.device) if cuda else None,
        }
        save_json(self.path, figures)
        Console().print(
            f"trained {steps} steps in {seconds:.1f} s on {figures['device']}, from the first optimizer step; "
            f"setup before it {figures['setup_s']:.1f} s, validation beside it {self.validation_s:.1f} s",
            highlight=False,
            soft_wrap=True,
        )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
