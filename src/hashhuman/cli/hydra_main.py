"""What the entry points share: Hydra, paths on its command line, and errors as one sentence."""

import errno
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException

from hashhuman.cli import lean_imports
from hashhuman.errors import UserError

OURS = ("hashhuman", "preprocess")
TEXTS = ("video", "subject")  # options that are text even if they look like a number, as in video=42


def run(job: Callable[[DictConfig], None], config_path: str, config_name: str) -> None:
    """Runs a job under Hydra, once or for every combination of a multirun.

    What the user can mend is printed as one sentence, with exit status 2; other jobs of a multirun go on.

    Args:
        config_path: the config folder, relative to the job's file.
        config_name: the root config.
    """
    failed = False

    @functools.wraps(job)
    def guarded(config: DictConfig) -> None:
        nonlocal failed
        try:
            job(config)
        except Exception as error:
            failed = True
            _tell(error)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra raises what is wrong with the command line
    # Read when torch is imported. Threads that spin while they wait make a busy CPU many times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    lean_imports.spare_lightning()
    try:
        sys.argv[1:] = quote_paths(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=config_path, config_name=config_name)(guarded)()
    except Exception as error:
        failed = True
        _tell(error)
    if failed:
        sys.exit(2)


def _tell(error: Exception) -> None:
    sentence = explain(error)
    if sentence is None:
        raise error
    print(sentence, file=sys.stderr)


def quote_paths(arguments: Sequence[str]) -> list[str]:
    """Quotes the values that Hydra would misread although they name a file: brackets, commas, `=` and the like.

    Raises UserError, with the quoted form, for a value that Hydra cannot read and that names no file.
    """
    return [_quote_path(argument) for argument in arguments]


def _quote_path(argument: str) -> str:
    key, equals, value = argument.partition("=")
    if argument.startswith("-") or not equals or value[:1] in "'\"":
        return argument
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    quoted = f"{key}='{escaped}'"
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        if Path(value).exists():
            return quoted
        raise UserError(
            f'{argument} cannot be read: quote the value, and all of it for the shell: "{quoted}".'
        ) from None
    misread = override.is_sweep_override() or isinstance(override.value(), list | dict)
    looks_like_number = key in TEXTS and isinstance(override.value(), int | float)
    return quoted if looks_like_number or (misread and Path(value).exists()) else argument


def explain(error: BaseException) -> str | None:
    """One sentence on an error that is for the user to mend; None for a fault of the program."""
    causes = list(_causes(error))
    for cause in causes:
        match cause:
            case UserError():
                return str(cause)
            case ModuleNotFoundError(name=str(name)) if name.partition(".")[0] not in OURS:
                return f"the Python package {name} is missing: `pip install 'hashhuman[preprocess]'`."
            case InterpolationToMissingValueError():
                missing = str(cause).partition("Missing mandatory value: ")[2].split()[0]
                return f"{missing} is missing: add {missing}=... to the command line."
            case MissingMandatoryValue():
                return f"{_flat(str(cause))}: add {cause.full_key}=... to the command line."
            case OSError(errno=errno.ENOSPC):
                return f"the disk is full: {cause.filename or 'a file'} could not be written."
            case TypeError() if "unexpected keyword argument" in str(cause) and cause is not error:
                return f"an option does not exist: {cause}."
    if isinstance(error, HydraException | OmegaConfBaseException) and not isinstance(error, InstantiationException):
        return ": ".join(_flat(str(cause)) for cause in causes) + "."
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _flat(message: str) -> str:
    """A message of Hydra without its layout, its search path and its advice to add whatever it does not know."""
    for tail in ("Config search path", "full_key:", "To append to your config"):
        message = message.partition(tail)[0]
    return " ".join(message.split()).rstrip(".")
