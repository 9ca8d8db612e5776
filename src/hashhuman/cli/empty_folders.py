"""Removes the output folders that Hydra made before a job started, if the command left them empty."""

import contextlib
import os
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

SWEEP_FILE = "multirun.yaml"  # Hydra writes it into a sweep's folder before the first job

_made: list[Path] = []  # folders that Hydra makes for this command, outer ones first


class EmptyFolders(Callback):
    """A Hydra callback that notes which folders Hydra makes for a command, including parents and folders of jobs."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Notes the folder of a single run."""
        _note(config, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Notes the folder of a sweep."""
        _note(config, "hydra.sweep.dir")

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Notes the folder of a job of a sweep, which Hydra has already made."""
        if config.hydra.mode == RunMode.MULTIRUN:
            _made.append(Path(config.hydra.runtime.output_dir))


def _note(config: DictConfig, key: str) -> None:
    with contextlib.suppress(OmegaConfBaseException):  # a missing value, which Hydra is about to report
        folder = Path(str(OmegaConf.select(config, key))).absolute()
        _made.extend(
            path for path in reversed([folder, *folder.parents]) if not os.path.exists(path)
        )  # a name that is too long is none


def forget() -> None:
    """Clears the notes, before a new command."""
    _made.clear()


def remove() -> None:
    """Removes the noted folders that are empty or hold only Hydra's file about a sweep."""
    for folder in reversed(_made):
        with contextlib.suppress(OSError):  # the folder was not made after all, or is not empty
            if [path.name for path in folder.iterdir()] == [SWEEP_FILE]:
                (folder / SWEEP_FILE).unlink()
            folder.rmdir()
