"""The layout of a run folder, and the config file from which a run is loaded.

`config.json` holds the run's config. It is resolved except for the avatar, which refers to its parts by name. Besides
the config's own keys it has `format`, the version of this layout, and `command`, the overrides that were typed.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from hashhuman.errors import UserError
from hashhuman.io import files

FORMAT = 4  # increase it whenever configs or checkpoints of earlier revisions can no longer be loaded
CONFIG, CHECKPOINT, EVALUATION = "config.json", "checkpoints/last.ckpt", "evaluation"
PATHS = ("workspace", "run_dir", "data.root", "data.smpl_meta")  # options relative to the current folder


def save_config(folder: Path, config: DictConfig) -> None:
    """Saves a run's config with absolute paths, so that the run can be loaded from any current folder."""
    config = config.copy()
    for option in PATHS:
        if (path := OmegaConf.select(config, option)) is not None:
            OmegaConf.update(config, option, str(Path(path).expanduser().absolute()))
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    # The avatar's parts stay references to their groups, so that overrides of a group also change the avatar.
    content["avatar"] = OmegaConf.to_container(config, resolve=False)["avatar"]  # type: ignore[index, call-overload]
    files.save_json(folder / CONFIG, {"format": FORMAT, "command": typed_overrides(), **content})


def load_config(folder: Path, overrides: DictConfig | None = None) -> DictConfig:
    """Loads the config of a finished run.

    Args:
        folder: the run folder.
        overrides: changes to the config, for example of `data.root` if the subject has moved.

    Raises:
        UserError: if the folder is not a finished run, has another format, or its subject folder does not exist.
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
                f"{folder} was trained on {path}, which does not exist: add {option}=FOLDER to say where it has moved."
            )
    return config


def typed_overrides() -> list[str] | None:
    """The overrides on the command line of this process; None if Hydra did not start it."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else None


def _other_format(folder: Path, found: Any, command: Sequence[str] | None) -> str:
    again = "with the command that made it" if command is None else f"with `python train.py {shlex.join(command)}`"
    return (
        f"{folder} is a run of format {found}, and this revision of HashHuman reads format {FORMAT}: train it again "
        f"{again}, or check out the revision that wrote it."
    )
