"""One line of progress."""

from typing import Any

import lightning as L
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


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
