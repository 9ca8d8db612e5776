"""Finds the option or group that is most similar to an unknown one, for "did you mean ...?"."""

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hashhuman.io.packages import causes_of

NEAR = 0.7  # the least similarity of a suggestion, in [0, 1]
NEAR_CHOICE = 0.6  # of a group's option: names are short, and there are few
NO_OPTION = re.compile(r"Could not (?:override|delete|append)[^']*'([^']+)'")
NO_CHOICE = re.compile(r"Could not find '([^']+)'")
CHOICES = re.compile(r"Available options in '([^']+)':\n((?:\t\S+\n?)+)")
NO_ARGUMENT = re.compile(r"unexpected keyword argument '(\w+)'")


def suggestion(error: BaseException, config_folder: Path, config_name: str, arguments: Sequence[str]) -> str | None:
    """Suggests a correction of an override that Hydra refused, for example "encoder=triton".

    Args:
        error: the error that Hydra raised.
        config_folder: the folder with the root config and the groups.
        config_name: the name of the root config.
        arguments: the command line; its choices of groups decide which options exist.

    Returns:
        The suggestion; None if nothing is similar.
    """
    for cause in causes_of(error):
        message = str(cause)
        if found := NO_CHOICE.search(message):
            return _choice(found[1], message)
        if found := NO_OPTION.search(message):
            wrong, names = found[1].partition("@")[0], _names(config_folder, config_name, arguments)
            return None if wrong in names else _option(wrong, names)  # it is there but for the rest of the line
        if found := NO_ARGUMENT.search(message):
            leaves = {name.rpartition(".")[2] for name in _names(config_folder, config_name, arguments)}
            return _nearest(found[1], leaves)
    return None


def _choice(wrong: str, message: str) -> str | None:
    if not (listed := CHOICES.search(message)):
        return None
    near = _nearest(wrong.rpartition("/")[2], listed[2].split(), NEAR_CHOICE)
    return near and f"{listed[1]}={near}"


def _option(wrong: str, names: Iterable[str]) -> str | None:
    """The most similar name. Its last part counts as much as the whole name, so that missing groups are found."""

    def nearness(name: str) -> float:
        last, wrong_last = (re.split(r"[./]", text)[-1] for text in (name, wrong))
        return (_likeness(wrong, name) + _likeness(wrong_last, last)) / 2

    best = max(names, key=nearness)
    return best if nearness(best) > NEAR else None


def _likeness(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b).ratio()


def _nearest(wrong: str, names: Iterable[str], near: float = NEAR) -> str | None:
    return next(iter(difflib.get_close_matches(wrong, sorted(names), 1, near)), None)


def _names(config_folder: Path, config_name: str, arguments: Sequence[str]) -> list[str]:
    """All options and groups that exist with the command line's choices of groups."""
    groups = sorted({path.parent.relative_to(config_folder).as_posix() for path in config_folder.glob("*/**/*.yaml")})
    with another_hydra(), initialize_config_dir(str(config_folder), version_base="1.3"):
        try:
            config = compose(config_name, list(_choices([*groups, "hydra.searchpath"], arguments)))
        except (HydraException, OmegaConfBaseException):  # a second mistake: the defaults' options
            config = compose(config_name)
    return [*groups, *_keys(config)]


@contextlib.contextmanager
def another_hydra() -> Iterator[None]:
    """Hides the running instance of Hydra, which still runs the remaining jobs of a sweep."""
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = running


def _choices(groups: Sequence[str], arguments: Sequence[str]) -> Iterator[str]:
    for argument in arguments:
        if (
            argument.partition("=")[0] in groups
            and not OverridesParser.create().parse_override(argument).is_sweep_override()
        ):
            yield argument


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    """The keys of all options and of all nodes that contain options."""
    for name in node:
        key = f"{prefix}{name}"
        yield key
        try:
            value = node[name]
        except OmegaConfBaseException:
            continue
        if isinstance(value, DictConfig) and not OmegaConf.is_interpolation(node, name):
            yield from _keys(value, f"{key}.")
