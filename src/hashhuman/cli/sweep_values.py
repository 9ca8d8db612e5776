"""Checks the values of a sweep before its first job runs, so that a mistake does not show hours later."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from hashhuman.checks.ranges import check_ranges
from hashhuman.cli.suggest import another_hydra

MOST = 100  # values that are checked beforehand; composing a config takes a good part of a second


def check_sweep(config_folder: Path, config_name: str, arguments: Sequence[str]) -> None:
    """Composes and checks a config for each value of a sweep. Does nothing for a single run.

    The other swept options have their first value meanwhile. Commands with a config folder of their own are left to
    the jobs' own checks.

    Args:
        config_folder: the folder with the root config and the groups.
        config_name: the name of the root config, unless the arguments name another.
        arguments: the command line.

    Raises:
        UserError: for a value out of range.
        HydraException: if a config cannot be composed.
    """
    given = get_args_parser().parse_args(list(arguments))
    if not given.multirun or given.help or given.hydra_help or given.info or given.cfg or given.shell_completion:
        return
    if given.config_dir or given.config_path:
        return
    with another_hydra(), initialize_config_dir(str(config_folder), version_base="1.3"):
        jobs = list(_jobs(given.overrides))
        for overrides in jobs[:MOST]:
            check_ranges(compose(given.config_name or config_name, overrides))
    if len(jobs) > MOST:
        print(f"{len(jobs) - MOST} values of this sweep are not checked beforehand.", file=sys.stderr)


def _jobs(overrides: Sequence[str]) -> Iterator[list[str]]:
    """The overrides of jobs that together have every value of every swept option."""
    choices = [_values(override) for override in overrides]
    first = [values[0] for values in choices]
    yield first
    for place, values in enumerate(choices):
        for value in values[1:]:
            yield [*first[:place], value, *first[place + 1 :]]


def _values(override: str) -> list[str]:
    """The overrides that a swept one stands for; itself if it is no sweep. Hydra must be initialised, for `glob`."""
    (parsed,) = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides([override])
    if not parsed.is_discrete_sweep():
        return [override]
    return [f"{parsed.get_key_element()}={value}" for value in parsed.sweep_string_iterator()]
