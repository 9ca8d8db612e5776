"""Shows the progress of training with its latest figures."""

from typing import Any

import lightning as L

from hashhuman.io.progress import Progress, progress

LOSS = "train/loss"
SHOWN = {LOSS: "loss", "val/psnr": "val psnr"}  # logged figure: its label


class ProgressLine(L.Callback):
    """Shows the steps done, the time and the latest logged figures, at most every `refresh_every` steps.

    The loss is that of the last step at which losses were logged (`log_every`). Where this is an earlier step than the
    one shown, its number stands beside the loss. The module's `logged_at` has it.

    A bar in a terminal, occasional lines elsewhere (`hashhuman.io.progress`). Lightning's own bars read the loss after
    every step, which makes the host wait for the GPU.
    """

    def __init__(self, refresh_every: int) -> None:
        self.refresh_every = refresh_every
        self.shown: Progress | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the display, in the process of rank 0 only."""
        if trainer.is_global_zero:
            total = trainer.estimated_stepping_batches
            total = int(total) if total not in (-1, float("inf")) else None
            self.shown = progress("training", total, "steps", done=trainer.global_step, keep=True)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        """Updates the display every `refresh_every` steps."""
        if self.shown is not None and trainer.global_step % self.refresh_every == 0:
            self.shown.update(trainer.global_step, lambda: _figures(trainer, pl_module))

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Shows the last state."""
        if self.shown is not None:
            self.shown.finish(trainer.global_step, lambda: _figures(trainer, pl_module))

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Ends the display without a last state."""
        if self.shown is not None:
            self.shown.abandon()


def _figures(trainer: L.Trainer, module: Any) -> str:
    metrics = trainer.callback_metrics
    figures = {name: f"{label} {float(metrics[name]):.4g}" for name, label in SHOWN.items() if name in metrics}
    if LOSS in figures and module.logged_at != trainer.global_step:
        figures[LOSS] += f" at step {module.logged_at}"
    return ", ".join(figures.values())
