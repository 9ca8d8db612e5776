"""Prepares the command line for Hydra: quotes paths that Hydra would misread, and names paths without an option."""

import os
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from hashhuman.errors import UserError

TEXTS = (
    "video",
    "subject",
    "workspace",
    "run_dir",
    "data.root",
    "data.smpl_meta",
    "run",
    "motion",
    "motion_root",
    "resume",
)  # options that are text even if they look like a number, as in video=42


def prepared(arguments: Sequence[str], path_option: str | None, several_paths: bool = False) -> list[str]:
    """Converts arguments to a form that Hydra can read.

    Args:
        arguments: the command line without the program.
        path_option: the option to which an existing path without a name belongs; None: there is none.
        several_paths: whether this option is a list, to which all such paths belong.

    Raises:
        UserError: for an argument that is neither an option nor an existing path, and for a value that Hydra cannot
            read and that is not the path of a file. Also for a sweep whose runs would share one folder.
    """
    if {"-m", "--multirun"} & set(arguments) and (shared := [a for a in arguments if a.startswith("run_dir=")]):
        raise UserError(f"{shared[0]} would be the folder of every run of the sweep: choose hydra.sweep.dir=FOLDER.")
    named = list(arguments)
    for i, argument in enumerate(arguments):
        follows_flag = i > 0 and arguments[i - 1].startswith("-") and takes_value(arguments[i - 1])
        if not follows_flag:
            named[i] = _named(argument, path_option)
    return quote_paths(_gathered(named, arguments, str(path_option)) if several_paths else named)


def _gathered(named: Sequence[str], typed: Sequence[str], option: str) -> list[str]:
    """The arguments with all paths that were typed without a name in one list, where the first of them stood."""
    bare = [i for i, (argument, word) in enumerate(zip(named, typed)) if argument != word]
    if not bare:
        return list(named)
    paths = ",".join(named[i].partition("=")[2] for i in bare)
    kept = [f"{option}=[{paths}]" if i == bare[0] else argument for i, argument in enumerate(named)]
    return [argument for i, argument in enumerate(kept) if i not in bare[1:]]


def takes_value(flag: str) -> bool:
    """Whether the argument after a flag of Hydra is the flag's value."""
    return "=" not in flag and flag in (
        "--config-name", "-cn", "--config-path", "-cp", "--config-dir", "-cd", "--package", "-p", "--cfg", "-c",
        "--info", "-i", "--experimental-rerun",
    )  # fmt: skip


def _named(argument: str, path_option: str | None) -> str:
    is_path = argument.startswith(("/", "./", "../"))
    if not argument or argument[0] in "-~" or ("=" in argument and not is_path):
        return argument
    if path_option is None:
        raise UserError(f"{argument} is not an option: write NAME=VALUE.")
    if not os.path.exists(argument):
        raise UserError(
            f"{argument} does not exist, and is no option either: give a path, or NAME=VALUE"
            f"{_example(path_option, argument)}."
        )
    return _quoted(path_option, argument)


def _example(path_option: str, argument: str) -> str:
    """The option to write for a word that may be meant for a recording called by its name, such as `demo`."""
    may_be_a_name = path_option == "video" and "." not in argument and "/" not in argument
    return f", such as video={argument} for a recording of that name" if may_be_a_name else ""


def quote_paths(arguments: Sequence[str]) -> list[str]:
    """Quotes values that are paths of files but that Hydra would misread, for example with brackets, commas or `=`.

    Raises:
        UserError: for a value that Hydra cannot read and that is not the path of a file; its message has the quoted
            form.
    """
    return [_quote_path(argument) for argument in arguments]


def _quote_path(argument: str) -> str:
    key, equals, value = argument.partition("=")
    if argument.startswith("-") or not equals or not value:
        return argument
    quoted = _quoted(key, value.strip("'\""))
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        if os.path.exists(value):
            return quoted
        raise UserError(
            f'{argument} cannot be read: quote the value, and the whole argument for the shell: "{quoted}".'
        ) from None
    misread = override.is_sweep_override() or isinstance(override.value(), list | dict)
    looks_like_number = key in TEXTS and isinstance(override.value(), int | float)
    return quoted if looks_like_number or (misread and os.path.exists(value)) else argument


def _quoted(key: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"
