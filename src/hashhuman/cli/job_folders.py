"""Names the jobs of a sweep and their folders by the overrides in which they differ."""

import re
import sys
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

LONGEST = 150  # the most bytes of a folder's name; file systems allow 255

_taken: dict[str, int] = {}  # folder name: number of the job that uses it


def forget() -> None:
    """Forgets all names, before a new sweep."""
    _taken.clear()


def job_folder(overrides: Sequence[str], number: int) -> str:
    """The name of a job's folder: its overrides without those that are the same for every job of the sweep.

    Different jobs of a process get different names, even if their values are shortened to the same text.

    Args:
        overrides: all overrides of the job, as Hydra spells them.
        number: index of the job in the sweep.
    """
    given = {spelled for argument in sys.argv[1:] for spelled in _spellings(argument)}
    name = folder_name([text for text in overrides if text not in given])
    if _taken.setdefault(name, number) != number:
        name = f"{name}-{number}"
        _taken[name] = number
    return name


def _spellings(argument: str) -> set[str]:
    """An argument as it was typed, and as Hydra's sweeper passes it to jobs (`False` for `false`)."""
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:  # a flag
        return {argument}
    if override.is_delete() or override.is_sweep_override():
        return {argument}
    return {argument, f"{override.get_key_element()}={override.get_value_element_as_str()}"}


def folder_name(overrides: Sequence[str]) -> str:
    """Joins overrides to the name of a folder, for example "video=a,encoder.log2_hashmap_size=14"."""
    text = ",".join(_readable(override) for override in overrides)
    text = re.sub(r"[^\w.,=+@-]+", "-", text).encode()[:LONGEST].decode(errors="ignore")
    return text.strip("-. ") or "only"


def _readable(override: str) -> str:
    """An override without quotes, with the last part of a path only, and with dots for the slashes of a group."""
    key, equals, value = override.partition("=")
    if not equals:
        return "no-" + key.strip("~").replace("/", ".")
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    if "/" in value and value[:1] not in "[{":
        value = value.rstrip("/").rpartition("/")[2]
    return f"{key.replace('/', '.')}={value}"


def differences(jobs: Sequence[Sequence[str]]) -> list[str]:
    """For each job, the overrides that not all jobs have, as one text for a table."""
    common = set.intersection(*(set(overrides) for overrides in jobs)) if jobs else set()
    return [" ".join(text for text in overrides if text not in common) or "the only one" for overrides in jobs]
