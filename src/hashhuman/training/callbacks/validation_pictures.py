"""Logs pictures at validation."""

from typing import Any

import lightning as L

from hashhuman.evaluation import drawing
from hashhuman.training.loggers import log_image


class ValidationPictures(L.Callback):
    """Logs truth, render and error map of every validated picture as one sheet, `val/pictures`.

    It reads `module.last_view`, the pair (View, RenderedImage) that the validation step sets.
    """

    def __init__(self) -> None:
        self.rows: list = []

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Draws one row of the sheet."""
        view, rendered = pl_module.last_view
        covered = (view.mask > 0) | (rendered.alpha.cpu() > 0.5)
        if trainer.is_global_zero and not trainer.sanity_checking and covered.any():
            title = f"{view.name}, step {trainer.global_step}"
            self.rows.append(drawing.side_by_side(rendered.rgb, view.image, covered, title))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs the sheet."""
        if self.rows:
            log_image(trainer.loggers, "val/pictures", drawing.sheet(self.rows, columns=1), trainer.global_step)
            self.rows = []
