"""The layout of a run folder, and the config file from which a run is loaded.

`config.json` holds the run's config. It is resolved except for the avatar, which refers to its parts by name. Besides
the config's own keys it has `format`, the version of this layout, and `command`, the overrides that were typed.
`manifest.json` (`training/manifest.py`) says which files belong to this config.
"""

import contextlib
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hashhuman.checks import targets
from hashhuman.errors import UserError
from hashhuman.io import files, lock
from hashhuman.io.inside import check_inside
from hashhuman.io.packages import cause_of
from hashhuman.training.manifest import MANIFEST, Manifest, digest_of

FORMAT = 5  # increase it whenever configs or checkpoints of earlier revisions can no longer be loaded
CONFIG, CHECKPOINT, EVALUATION, EXPORT = "config.json", "checkpoints/last.ckpt", "evaluation", "export"
ANIMATE = "animate"  # below it, a folder for each motion
VIEW = "view"  # the viewer's mesh, and recorded videos
OUTPUTS = (  # what training a run anew replaces
    "checkpoints", "evaluation", "export", ANIMATE, VIEW, "logs", "tensorboard", "wandb", "timing.json", "diverged.pt",
)  # fmt: skip
BESIDE = ("format", "command", "resume", "admit")  # of config.json, and no part of what determines the result
PATHS = ("workspace", "run_dir", "data.root", "data.smpl_meta")  # options relative to the current folder


def save_config(folder: Path, config: DictConfig) -> None:
    """Saves a run's config with absolute paths, so that the run can be loaded from any current folder."""
    files.save_json(folder / CONFIG, {"format": FORMAT, "command": typed_overrides(), **content_of(config)})


def content_of(config: DictConfig) -> dict[str, Any]:
    """A run's config as `config.json` has it, with absolute paths."""
    config = config.copy()
    for option in PATHS:
        if (path := OmegaConf.select(config, option)) is not None:
            OmegaConf.update(config, option, str(Path(path).expanduser().absolute()))
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    # The avatar's parts stay references to their groups, so that overrides of a group also change the avatar.
    content["avatar"] = OmegaConf.to_container(config, resolve=False)["avatar"]  # type: ignore[index, call-overload]
    return {str(key): value for key, value in content.items()}


def values(content: dict[str, Any]) -> dict[str, Any]:
    """The options of a run's config that determine its result: {option: value}, with the run folder as `RUN`."""
    place = content["run_dir"]

    def leaves(node: Any, key: str) -> Iterator[tuple[str, Any]]:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        if not isinstance(node, dict | list) or not node:
            yield key, node.replace(place, "RUN") if isinstance(node, str) else node
        for name, value in items:
            yield from leaves(value, f"{key}.{name}".removeprefix("."))

    return dict(leaves({key: value for key, value in content.items() if key not in BESIDE}, ""))


def digest(content: dict[str, Any]) -> str:
    """The SHA-256 of a run's config, wherever its folder lies."""
    return digest_of(values(content))


def saved_content(folder: Path, admitted: targets.Register | None = None) -> dict[str, Any]:
    """The config of a run as it was saved. It may come from anybody, so its classes are checked.

    Args:
        folder: the run folder.
        admitted: the classes that the run may name; None: `targets.admitted()`.

    Raises:
        UserError: if the folder holds no run, one of another format, or one that names a class that is not admitted.
    """
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder} holds no run, since {folder / CONFIG} is missing: name a folder below outputs/.")
    content = files.load_json(folder / CONFIG)
    if not isinstance(content, dict):
        raise UserError(f"{folder / CONFIG} is not the config of a run: train it again.")
    found, command = content.pop("format", 1), content.pop("command", None)
    if found != FORMAT:
        raise UserError(_other_format(folder, found, command))
    targets.check_targets(content, folder / CONFIG, admitted or targets.admitted())
    return content


@contextlib.contextmanager
def removed_if_refused(folder: Path, manifest: Manifest) -> Iterator[None]:
    """Removes a run in which nothing has been trained if a refusal ends the context: it never began."""
    try:
        yield
    except (UserError, HydraException):  # the latter wraps what a constructor raises
        if not manifest.step and not manifest.trained:
            for name in (MANIFEST, CONFIG):
                (folder / name).unlink(missing_ok=True)
        raise


def check_links(folder: Path) -> None:
    """Raises UserError if what a run writes would land outside its folder, because a link there leads out of it."""
    check_inside(folder, [folder / name for name in OUTPUTS])


def results(manifest: Manifest) -> list[str]:
    """The listed files that a finished run must have: all but what was taken from it, which may be moved or edited."""
    taken = tuple(f"{part}/" for part in (EXPORT, ANIMATE, VIEW))
    return [name for name in manifest.files if not name.startswith(taken)]


def remove_outputs(folder: Path) -> None:
    """Deletes what an earlier training left in a run folder. Links are deleted, not what they point to."""
    for name in OUTPUTS:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def load_config(
    folder: Path, overrides: DictConfig | None = None, admitted: targets.Register | None = None
) -> DictConfig:
    """Loads the config of a finished run, which may come from anybody: it is checked before anything is made of it.

    Args:
        folder: the run folder.
        overrides: changes to the config, for example of `data.root` if the subject has moved.
        admitted: the classes that the run may name; None: `targets.admitted()`.

    Raises:
        UserError: if the folder is not a finished run, has another format, names a class that is not admitted, its
            config is not that of its weights, or its subject folder does not exist.
    """
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"{folder} is not a finished run, since {folder / CONFIG} is missing: name a folder below outputs/."
        )
    content = saved_content(folder, admitted)
    _check_finished(folder)
    config = OmegaConf.merge(content, overrides or {})
    assert isinstance(config, DictConfig)
    typed = overrides or OmegaConf.create({})
    for option in ("data.root", "data.smpl_meta"):
        path = _text_or_none(config, option, folder / CONFIG)
        if path is not None and not os.path.isdir(path):  # False also for a name that the system does not admit
            if OmegaConf.select(typed, option) is not None:
                raise UserError(f"{option}={path} is no folder: correct it.")
            raise UserError(
                f"{folder} was trained on {path}, which does not exist: add {option}=FOLDER to say where it has moved."
            )
    return config


def _check_finished(folder: Path) -> None:
    """Raises UserError unless training has ended, and the config is the one with which it was trained."""
    manifest = Manifest.load(folder)
    if manifest is None:
        raise UserError(f"{folder} is not a finished run, since {folder / MANIFEST} is missing: train it again.")
    check_trained(folder, manifest)
    if not (folder / CHECKPOINT).is_file():
        raise UserError(f"{folder} is not a finished run, since {folder / CHECKPOINT} is missing: train it again.")
    if not manifest.holds(folder, CONFIG):
        raise UserError(f"{folder / CONFIG} has changed since the run was trained with it: restore it, or train again.")


def check_trained(folder: Path, manifest: Manifest) -> None:
    """Raises UserError unless training has ended. The message says whether it runs, which the run's lock tells."""
    if manifest.trained:
        return
    if (holder := lock.holder_of(folder, inside=True)) is not None:
        raise UserError(
            f"{folder} is not a finished run: {holder} works on it (last checkpoint: step {manifest.step}); "
            "wait until that has ended."
        )
    if (again := Manifest.load(folder)) is not None and again.trained:  # it has ended since `manifest` was read
        return
    raise UserError(
        f"{folder} is not a finished run: its training has not ended, and nothing on this machine works on it (last "
        f"checkpoint: step {manifest.step}); go on with {continuation(folder)}."
    )


def continuation(folder: Path) -> str:
    """The command that continues a run, in backquotes."""
    return f"`python train.py {shlex.quote(f'resume={folder}')}`"


def typed_changes(config: DictConfig) -> DictConfig:
    """The changes to a run's config that a program which loads it was asked for: its options `data` and `overrides`."""
    moved = {name: value for name, value in config.data.items() if value is not None}
    changes = OmegaConf.merge(OmegaConf.to_container(config.overrides), {"data": moved} if moved else {})
    assert isinstance(changes, DictConfig)
    return changes


def typed_overrides() -> list[str] | None:
    """The overrides on the command line of this process; None if Hydra did not start it."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else None


def _text_or_none(config: DictConfig, option: str, source: Path) -> str | None:
    """An option that is a path or null. Raises UserError if it is anything else."""
    try:
        value = OmegaConf.select(config, option)
    except OmegaConfBaseException as error:
        raise UserError(f"{source}: {option} cannot be read ({cause_of(error)}): train the run again.") from None
    if value is not None and (not isinstance(value, str) or "\0" in value):
        raise UserError(f"{source}: {option} must be a path, or null: train the run again.")
    return value


def _other_format(folder: Path, found: Any, command: Any) -> str:
    known = isinstance(command, list) and all(isinstance(word, str) for word in command)
    again = f"with `python train.py {shlex.join(command)}`" if known else "with the command that made it"
    return (
        f"{folder} is a run of format {found}, and this revision of HashHuman reads format {FORMAT}: train it again "
        f"{again}, or check out the revision that wrote it."
    )
