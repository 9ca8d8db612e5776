"""How far training is, with its newest figures."""

from typing import Any

import lightning as L

from hashhuman.io.progress import Progress, progress

SHOWN = {"train/loss": "loss", "val/psnr": "val psnr"}  # logged figures, and what they are called here


class ProgressLine(L.Callback):
    """One line: steps done, time, and the newest logged figures, read every `refresh_every` steps at most.

    In a terminal it is a bar; elsewhere it is printed anew now and then (`hashhuman.io.progress`). Lightning's own bars
    read the loss after every step, for which the GPU has to be waited for.
    """

    def __init__(self, refresh_every: int) -> None:
        self.refresh_every = refresh_every
        self.shown: Progress | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begins, in the first of several processes."""
        if trainer.is_global_zero:
            total = trainer.estimated_stepping_batches
            total = int(total) if total not in (-1, float("inf")) else None
            self.shown = progress("training", total, "steps", done=trainer.global_step, keep=True)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Brings it up to date, now and then."""
        if self.shown is not None and trainer.global_step % self.refresh_every == 0:
            self.shown.update(trainer.global_step, lambda: _figures(trainer))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leaves the last state standing."""
        if self.shown is not None:
            self.shown.finish(trainer.global_step, lambda: _figures(trainer))

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Gives the terminal back."""
        if self.shown is not None:
            self.shown.abandon()


def _figures(trainer: L.Trainer) -> str:
    metrics = trainer.callback_metrics
    return ", ".join(f"{label} {float(metrics[name]):.4g}" for name, label in SHOWN.items() if name in metrics)
