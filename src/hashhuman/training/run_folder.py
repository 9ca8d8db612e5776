"""A run's folder: what lies where in it, and its config, which says how the run is loaded.

`config.json` holds the run's config, resolved except for the avatar, which refers to its parts by name. Beside the
config's own keys it has `format`, the version of all this, and `command`, the overrides that were typed.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from hashhuman.errors import UserError
from hashhuman.io import files

FORMAT = 2  # to be raised whenever a config or a checkpoint of an earlier revision can no longer be loaded
CONFIG, CHECKPOINT, EVALUATION = "config.json", "checkpoints/last.ckpt", "evaluation"
PATHS = ("workspace", "run_dir", "data.root", "data.smpl_meta")  # options that are relative to where a command is typed


def save_config(folder: Path, config: DictConfig) -> None:
    """Saves a run's config, its paths absolute, so that the run is loaded from wherever a command is typed."""
    config = config.copy()
    for option in PATHS:
        if (path := OmegaConf.select(config, option)) is not None:
            OmegaConf.update(config, option, str(Path(path).expanduser().absolute()))
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    # The avatar's parts stay references to their groups, so that a change to a group reaches the avatar on loading.
    content["avatar"] = OmegaConf.to_container(config, resolve=False)["avatar"]  # type: ignore[index, call-overload]
    files.save_json(folder / CONFIG, {"format": FORMAT, "command": typed_overrides(), **content})


def load_config(folder: Path, overrides: DictConfig | None = None) -> DictConfig:
    """The config of a finished run.

    Args:
        folder: of the run.
        overrides: changes to the config, e.g. of `data.root`, where the subject lies now.

    Raises UserError if the folder is no finished run, is one of another format, or if its subject is not where the
    config says.
    """
    for needed in (folder / CONFIG, folder / CHECKPOINT):
        if not needed.is_file():
            raise UserError(f"{folder} is not a finished run, since {needed} is missing: name a folder below outputs/.")
    content = files.load_json(folder / CONFIG)
    if not isinstance(content, dict):
        raise UserError(f"{folder / CONFIG} is not the config of a run: train it again.")
    found, command = content.pop("format", 1), content.pop("command", None)
    if found != FORMAT:
        raise UserError(_other_format(folder, found, command))
    config = OmegaConf.merge(content, overrides or {})
    assert isinstance(config, DictConfig)
    typed = overrides or OmegaConf.create({})
    for option in ("data.root", "data.smpl_meta"):
        path = OmegaConf.select(config, option)
        if path is not None and not Path(path).is_dir():
            if OmegaConf.select(typed, option) is not None:
                raise UserError(f"{option}={path} is no folder: correct it.")
            raise UserError(
                f"{folder} was trained on {path}, and there is no such folder now: add {option}=FOLDER to say where it "
                "has moved."
            )
    return config


def typed_overrides() -> list[str] | None:
    """The overrides on the command line of this process; None if it has not been started by Hydra."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else None


def _other_format(folder: Path, found: Any, command: Sequence[str] | None) -> str:
    again = "with the command that made it" if command is None else f"with `python train.py {shlex.join(command)}`"
    return (
        f"{folder} is a run of format {found}, and this revision of HashHuman reads format {FORMAT}: train it again "
        f"{again}, or check out the revision that wrote it."
    )
