"""Which classes a run folder may name: a run folder is data, and may come from anybody.

`config.json` names the classes of a run's avatar, losses and products, and loading the run makes them. Hydra would call
whatever function is named there. Every name in the file is therefore looked up in a register before anything is made.

The register is what configs name: the folder `conf/` of this project, and the folders of your own that the command line
gives with `hydra.searchpath`. A name counts only letter by letter. `admit=[NAME]` adds single ones (docs/extending.md).
"""

import dataclasses
import functools
import re
from collections.abc import Collection, Iterable, Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig

from hashhuman.errors import UserError

CONF = Path(__file__).parents[3] / "conf"
UNUSED = ("source", "preprocess", "body", "trainer", "callbacks", "viewer", "logger", "hydra")
"""Options of a run's config that only training uses, and the groups of their configs."""
_REFERENCE = re.compile(rf"\$\{{(?!(?:{'|'.join(UNUSED)})\b)[A-Za-z_]\w*(\.\w+)*\}}")
"""To another option that loading uses; `${oc.env:HOME}` is none, since it calls a function."""


@dataclasses.dataclass(frozen=True)
class Register:
    """The classes that some config folders name."""

    made: frozenset[str]
    """Those that loading a run may make."""
    unused: frozenset[str]
    """Those that only training makes; a run may name them below the options `UNUSED`."""

    def __or__(self, other: "Register") -> "Register":
        return Register(self.made | other.made, self.unused | other.unused)

    @staticmethod
    def of(folders: Iterable[Traversable]) -> "Register":
        """The register of config folders. Nothing of what they name is imported."""
        found: tuple[set[str], set[str]] = set(), set()
        for folder in folders:
            for groups, path in _yaml_files(folder):
                for place, key, name in _strings(_parsed(path)):
                    if key == "_target_":
                        found[bool({*groups[:1], *place[:1]} & {*UNUSED})].add(name)
        return Register(frozenset(found[False]), frozenset(found[True]))


def admitted(names: Collection[str] = ()) -> Register:
    """What this command admits: the project's own classes, those of `hydra.searchpath`, and the given ones."""
    return _of_the_project() | Register.of(_searched_folders()) | Register(frozenset(names), frozenset())


@functools.cache
def _of_the_project() -> Register:
    return Register.of([CONF])


def _searched_folders() -> Iterator[Traversable]:
    for source in HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else ():
        if "searchpath" in source.provider:  # importing the package is what its user asks for with pkg://
            yield resources.files(source.path.replace("/", ".")) if source.schema == "pkg" else Path(source.path)


def check_targets(config: Any, source: Path, register: Register) -> None:
    """Checks a run's config, as read from its file, before it is made into anything.

    Args:
        config: plain dictionaries, lists and values.
        source: the file, for messages.
        register: the classes that it may name.

    Raises:
        UserError: for the first class that the register lacks, and for the first value that would call a function, such
            as one that reads an environment variable.
    """
    for place, key, value in _strings(config):
        where = ".".join((*place, key))
        if key == "_target_":
            listed = register.made | register.unused if place and place[0] in UNUSED else register.made
            if value not in listed:
                raise UserError(
                    f"{source} names {value} ({where}), which is no class of this project for this place: if you trust "
                    "it, add admit=[NAME], or hydra.searchpath=[...] with the folder of its configs."
                )
        elif "${" in _REFERENCE.sub("", value) or "\\$" in value:
            raise UserError(
                f"{source} has {value} ({where}), which would call a function: a run's config holds values alone."
            )


def _strings(node: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Where each text stands, its key, and the text. Keys are texts, too, and so is a `_target_` of any kind."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield place, "", str(key)
        if isinstance(value, str) or key == "_target_":
            yield place, str(key), str(value)
        if isinstance(value, dict | list):
            yield from _strings(value, (*place, str(key)))


def _yaml_files(folder: Traversable, groups: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Traversable]]:
    """The YAML files below a folder, each with the names of its groups."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_dir():
            yield from _yaml_files(entry, (*groups, entry.name))
        elif entry.name.endswith((".yaml", ".yml")):
            yield groups, entry


def _parsed(path: Traversable) -> Any:
    text = path.read_bytes().decode("utf-8", errors="replace")
    try:  # the loader in C, where it is built, takes a twentieth of the time
        return yaml.load(text, Loader=yaml.CSafeLoader) if yaml.__with_libyaml__ else yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not readable YAML: {error}.") from None
