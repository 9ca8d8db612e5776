"""Sends pictures, videos and metrics to the loggers of a run: csv (files), tensorboard or wandb."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from hashhuman.evaluation.product import Evaluation
from hashhuman.io.files import read_image, write_image
from hashhuman.io.packages import require_package, requiring


class CsvLogger(CSVLogger):
    """Lightning's CSVLogger, for a training that is continued: a checkpoint holds the lines up to its step."""

    def __init__(self, save_dir: str, name: str, version: str, flush_logs_every_n_steps: int) -> None:
        super().__init__(save_dir, name, version, flush_logs_every_n_steps=flush_logs_every_n_steps)
        self.lines: list[dict[str, float]] = []

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Adds a line."""
        values = {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics.items()}
        super().log_metrics(values, step)
        self.lines.append(values | {"step": -1 if step is None else step})

    def state_dict(self) -> dict[str, Any]:
        """The lines so far."""
        return {"lines": self.lines}

    @rank_zero_only
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replaces the file by the lines of a checkpoint."""
        for line in state["lines"]:
            self.log_metrics({name: value for name, value in line.items() if name != "step"}, line["step"])
        self.save()


def require_wandb() -> None:
    """Raises UserError if the package wandb is missing."""
    require_package("wandb", "logger=wandb", "`pip install wandb`, or choose logger=csv")


@requiring(require_wandb)
def wandb_logger(project: str, name: str | None, save_dir: str, offline: bool, **settings: Any) -> WandbLogger:
    """Makes Lightning's WandbLogger. With `offline` it needs neither an account nor a network.

    Args:
        project: name of the project in wandb.
        name: name of the run; None: wandb chooses one.
        save_dir: folder of the local files, made if missing.
        offline: whether to write local files only.
        settings: further arguments of `wandb.init`.

    Raises:
        UserError: if the package wandb is missing.
    """
    require_wandb()
    Path(save_dir).mkdir(parents=True, exist_ok=True)
    return WandbLogger(project=project, name=name, save_dir=save_dir, offline=offline, **settings)


def log_image(loggers: Iterable[Logger], name: str, image: np.ndarray, step: int) -> None:
    """Logs an 8-bit RGB picture (H, W, 3). The csv logger's folder gets `<name>/<step>.png`."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [image], step=step)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, image, step, dataformats="HWC")
        elif isinstance(logger, CSVLogger):
            write_image(Path(logger.log_dir) / name / f"{step:06d}.png", image)


def log_video(loggers: Iterable[Logger], name: str, path: Path, step: int) -> None:
    """Logs an mp4 file to wandb. csv needs no copy, since the file lies in the run folder; tensorboard shows no mp4."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_video(name, [str(path)], step=step, format=["mp4"])


def log_evaluation(loggers: Sequence[Logger], evaluation: Evaluation, step: int) -> None:
    """Logs an evaluation: the mean metrics as `split/column`, and the pictures and videos of its products."""
    means = {
        f"{split}/{column}": value
        for split, result in evaluation.report["splits"].items()
        for column, value in result["mean"].items()
    }
    for logger in loggers:
        logger.log_metrics(means, step)
        logger.save()
    for made in evaluation.made.values():
        for name, path in sorted(made.images.items()):
            log_image(loggers, name, read_image(path), step)
        for name, path in made.videos.items():
            log_video(loggers, name, path, step)
