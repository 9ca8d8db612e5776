"""Output folders that Hydra makes before a job starts, removed again where the command left them empty."""

import contextlib
import os
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

RECORD = "multirun.yaml"  # which Hydra writes before the first job of a sweep

_made: list[Path] = []  # folders that this command has Hydra make, outer ones first


class EmptyFolders(Callback):
    """Notes which folders Hydra is about to make for a command, parents included, and which for the jobs of a sweep."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Notes a single run's folder."""
        _note(config, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Notes a sweep's folder."""
        _note(config, "hydra.sweep.dir")

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Notes the folder of a job of a sweep, which Hydra has just made."""
        if config.hydra.mode == RunMode.MULTIRUN:
            _made.append(Path(config.hydra.runtime.output_dir))


def _note(config: DictConfig, key: str) -> None:
    with contextlib.suppress(OmegaConfBaseException):  # a missing value, which Hydra is about to report
        folder = Path(str(OmegaConf.select(config, key))).absolute()
        _made.extend(
            path for path in reversed([folder, *folder.parents]) if not os.path.exists(path)
        )  # a name that is too long is none


def forget() -> None:
    """Starts a new command."""
    _made.clear()


def remove() -> None:
    """Removes those of the noted folders that are empty, or that hold the record of a sweep and nothing else."""
    for folder in reversed(_made):
        with contextlib.suppress(OSError):  # it was not made after all, or it holds something
            if [path.name for path in folder.iterdir()] == [RECORD]:
                (folder / RECORD).unlink()
            folder.rmdir()
