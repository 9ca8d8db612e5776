"""Sends config, metrics, pictures, videos, meshes and pages to the loggers of a run: csv (files), tensorboard, wandb.

| | wandb | tensorboard | csv |
|---|---|---|---|
| config | of the run | text `config` | config.json lies in the run folder |
| metrics of every picture | table | text, a table | `evaluation/pictures.csv` |
| pictures | pictures | pictures | PNG, named by their step |
| videos | videos | pictures that move, smaller (`moving_picture`) | lie in the run folder |
| GLB | Object3D | no, since its meshes have no textures | lies in the run folder |
| report | artifact of the type `report` | no pages | lies in the run folder |
"""

import contextlib
import csv
import json
import re
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from hashhuman.evaluation.product import Evaluation
from hashhuman.io.files import atomic_path, read_image, write_image
from hashhuman.io.packages import require_package, requiring
from hashhuman.io.video import moving_picture


class CsvLogger(CSVLogger):
    """Lightning's CSVLogger, for a training that is continued: a checkpoint holds the lines up to its step."""

    def __init__(self, save_dir: str, name: str, version: str, flush_logs_every_n_steps: int) -> None:
        super().__init__(save_dir, name, version, flush_logs_every_n_steps=flush_logs_every_n_steps)
        self.lines: list[dict[str, float]] = []

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Adds a line."""
        # Interned names: pickled once each, so that a training that was continued writes the same bytes.
        named = {sys.intern(name): value for name, value in metrics.items()}
        values = {name: value.item() if isinstance(value, Tensor) else value for name, value in named.items()}
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


def require_wandb() -> Any:
    """Returns the package wandb. Raises UserError if it is missing."""
    return require_package("wandb", "logger=wandb", "`pip install wandb`, or choose logger=csv")


@requiring(require_wandb)
def wandb_logger(project: str, name: str | None, save_dir: str, offline: bool, **settings: Any) -> WandbLogger:
    """Makes Lightning's WandbLogger. With `offline` it needs neither an account nor a network.

    Args:
        project: name of the project in wandb.
        name: name of the run; None: wandb chooses one.
        save_dir: folder of the local files, made if missing. Its file `wandb/run_id` has the run's id, so that a
            training that is continued stays one run.
        offline: whether to write local files only.
        settings: further arguments of `wandb.init`.

    Raises:
        UserError: if the package wandb is missing.
    """
    require_wandb()
    settings = {"id": _run_id(Path(save_dir) / "wandb/run_id")} | settings
    return WandbLogger(project=project, name=name, save_dir=save_dir, offline=offline, **settings)


def _run_id(path: Path) -> str:
    """The id in a file, which is written with a new one if it holds none."""
    text = path.read_bytes()[:99].decode("ascii", errors="replace") if path.exists() else ""
    if not re.fullmatch("[0-9a-f]{8}", text):
        text = secrets.token_hex(4)
        with atomic_path(path) as temporary:
            temporary.write_text(text)
    return text


@contextlib.contextmanager
def ended(loggers: Sequence[Logger]) -> Iterator[None]:
    """Context that ends the run in wandb: as failed if the body raises. The next job of a sweep would log into it."""
    failed = True
    try:
        yield
        failed = False
    finally:
        if any(isinstance(logger, WandbLogger) for logger in loggers):
            require_wandb().finish(exit_code=int(failed))


def log_config(loggers: Iterable[Logger], config: Mapping[str, Any]) -> None:
    """Logs a run's config: to wandb, which compares runs by it, and to tensorboard as a text."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_hyperparams(dict(config))
        elif isinstance(logger, TensorBoardLogger):
            lines = json.dumps(config, indent=1).splitlines()
            logger.experiment.add_text("config", "\n".join(f"    {line}" for line in lines))  # Markdown for code


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
    """Logs an mp4 or gif. csv needs no copy, since the file lies in the run folder."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_video(name, [str(path)], step=step, format=[path.suffix.removeprefix(".")])
        elif isinstance(logger, TensorBoardLogger):
            _add_moving_picture(logger, name, path, step)


def _add_moving_picture(logger: TensorBoardLogger, name: str, path: Path, step: int) -> None:
    """Adds a video as a gif, which tensorboard's page of pictures plays. Its own `add_video` needs moviepy."""
    from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

    content, height, width = moving_picture(path)
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
    writer = logger.experiment._get_file_writer()  # its public methods decode pictures first, and keep one frame
    writer.add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), step)


def log_mesh(loggers: Iterable[Logger], name: str, path: Path, step: int) -> None:
    """Logs a GLB to wandb, which shows it in space."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.log({name: require_wandb().Object3D(str(path)), "trainer/global_step": step})


def log_page(loggers: Iterable[Logger], name: str, path: Path) -> None:
    """Logs a page to wandb, as an artifact of the run."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            artifact = require_wandb().Artifact(f"{name}-{logger.experiment.id}", type=name)
            artifact.add_file(str(path))
            logger.experiment.log_artifact(artifact)


def log_evaluation(loggers: Sequence[Logger], evaluation: Evaluation, step: int) -> None:
    """Logs an evaluation: the mean metrics as `split/column`, and all that its products made for loggers.

    The metrics of every measured picture are the table `evaluation/pictures`.
    """
    means = {
        f"{split}/{column}": value
        for split, result in evaluation.report["splits"].items()
        for column, value in result["mean"].items()
    }
    for logger in loggers:
        logger.log_metrics(means, step)
        _log_each(logger, evaluation, step)
        logger.save()
    for made in evaluation.made.values():
        for name, path in sorted(made.images.items()):
            log_image(loggers, name, read_image(path), step)
        for name, path in made.videos.items():
            log_video(loggers, name, path, step)
        for name, path in made.meshes.items():
            log_mesh(loggers, name, path, step)
        for name, path in made.pages.items():
            log_page(loggers, name, path)


def _log_each(logger: Logger, evaluation: Evaluation, step: int) -> None:
    """Logs the metrics of every picture as a table; none if no picture was measured."""
    name, splits = "evaluation/pictures", evaluation.report["splits"].items()
    rows = [{"split": split} | row for split, result in splits for row in result.get("each", [])]
    if not rows:
        return
    columns = list(dict.fromkeys(name for row in rows for name in row))  # some splits have columns of their own
    cells = [[row.get(column) for column in columns] for row in rows]
    if isinstance(logger, WandbLogger):
        logger.log_table(name, columns=columns, data=cells, step=step)
    elif isinstance(logger, TensorBoardLogger):
        lines = [columns, ["---"] * len(columns), *cells]
        logger.experiment.add_text(name, "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines), step)
    elif isinstance(logger, CSVLogger):
        with atomic_path(Path(logger.log_dir) / f"{name}.csv") as path, path.open("w", newline="") as file:
            csv.writer(file).writerows([columns, *cells])
