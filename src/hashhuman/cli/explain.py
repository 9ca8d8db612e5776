"""Explains errors that the user can correct in one sentence."""

import errno
import re
from collections.abc import Sequence
from pathlib import Path
from traceback import walk_tb

from hydra.errors import HydraException, InstantiationException
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException

from hashhuman.errors import UserError
from hashhuman.io.packages import cause_of, causes_of

OURS = ("hashhuman", "preprocess")
NO_TARGET = re.compile(rf"Error loading '(?!(?:{'|'.join(OURS)})\b)([^']+)':\n(.*)")  # Hydra, on a _target_ of others
PROGRAMS = ("__main__", "train", "eval")
_CALL = re.compile(r"Error in call to target '([^']+)':\n\w+\((.*)\)\nfull_key: (\S+)", re.S)
_NO_OPTION = re.compile(r"Could not override '([^']+)'")
_UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG)


def explain(error: BaseException) -> str | None:
    """Explains an error that the user can correct in one sentence. Returns None for a fault of the program."""
    causes = list(causes_of(error))
    for cause in causes:
        match cause:
            case UserError():
                return str(cause)
            case ImportError(name=None) if found := NO_TARGET.match(str(cause)):
                return (
                    f"{found[1]} cannot be imported ({found[2]}): correct the _target_, or add the folder of your "
                    "package to the environment variable PYTHONPATH."
                )
            case ModuleNotFoundError(name=str(name)) if name.partition(".")[0] not in OURS:
                return f"the Python package {name} is missing: `pip install 'hashhuman[preprocess]'`."
            case ImportError(name=str(name)) if name.partition(".")[0] not in OURS:
                return f"the Python package {name} is installed but does not import ({cause_of(cause)}): reinstall it."
            case InterpolationToMissingValueError():
                missing = str(cause).partition("Missing mandatory value: ")[2].split()[0]
                return f"{missing} is missing: add {missing}=... to the command line."
            case MissingMandatoryValue():
                return f"{_flat(str(cause))}: add {cause.full_key}=... to the command line."
            case OSError(errno=errno.ENOSPC | errno.EDQUOT):
                return f"the disk is full: {cause.filename or 'a file'} could not be written."
            case OSError(errno=int(number), filename=(str() | Path()) as path) if number in _UNUSABLE:
                return f"{path} cannot be used: {cause.strerror}: choose another folder, or change its permissions."
            case OSError(filename=(str() | Path()) as path) if _makes_a_folder(cause):
                return f"{path} cannot be made ({cause.strerror}): choose another folder."
            case TypeError() if "unexpected keyword argument" in str(cause) and cause is not error:
                return f"an option does not exist: {cause}."
    for cause in causes:
        hidden = _raised_by_resolver(cause)
        if hidden is not None and (sentence := explain(hidden)) is not None:
            return sentence
        if (package := _package_that_fails(cause)) is not None:
            return f"the Python package {package} is installed but does not import ({cause_of(cause)}): reinstall it."
    if (sentence := _of_an_option(causes) or _of_a_group(error) or _of_another_library(error)) is not None:
        return sentence
    if isinstance(error, HydraException | OmegaConfBaseException) and not isinstance(error, InstantiationException):
        return ": ".join(_flat(str(cause)) for cause in causes) + "."
    return None


def _package_that_fails(error: BaseException) -> str | None:
    """The package of others whose import raised the error, whatever it is; None: it was raised elsewhere.

    The traceback has a frame of each module whose code was running; the first that is not ours was imported by us.
    """
    traceback = error.__traceback__
    while traceback is not None:
        frame, traceback = traceback.tb_frame, traceback.tb_next
        name = frame.f_globals.get("__name__", "__main__").partition(".")[0]
        if frame.f_code.co_name == "<module>" and name not in (*OURS, *PROGRAMS):
            return name
    return None


def _raised_by_resolver(error: BaseException) -> BaseException | None:
    """What a function that a config calls has raised: OmegaConf raises an error of its own, without a cause."""
    if not isinstance(error, OmegaConfBaseException):
        return None
    seen = error.__context__
    while isinstance(seen, OmegaConfBaseException):
        seen = seen.__context__
    return seen


def _makes_a_folder(error: BaseException) -> bool:
    """Whether the error was raised while a folder was made, as Hydra makes the run folder."""
    frames = list(walk_tb(error.__traceback__))
    return bool(frames) and frames[-1][0].f_code.co_name in ("mkdir", "makedirs")


def _of_an_option(causes: Sequence[BaseException]) -> str | None:
    """A sentence for an option that does not exist. Hydra speaks of a struct."""
    if any("is not in struct" in str(cause) for cause in causes):
        for cause in causes:
            if (found := _NO_OPTION.search(str(cause))) is not None:
                return f"{found[1]} is not an option."
    return None


def _of_a_group(error: BaseException) -> str | None:
    """A sentence where a group was given something else than a name, as in `trainer=null`: Hydra raises ValueError."""
    if isinstance(error, ValueError) and str(error).startswith("Config group override must be"):
        return "a group of options is chosen by the name of one of its files, not by null or a number: see --help."
    return None


def _of_another_library(error: BaseException) -> str | None:
    """A sentence where a class of another library, which an option names, refuses its arguments."""
    if not isinstance(error, InstantiationException) or (found := _CALL.search(str(error))) is None:
        return None
    target, reason, node = found.groups()
    if target.partition(".")[0] in OURS:
        return None
    return f"{node} cannot be made: {_flat(reason)}: correct one of its options."


def _flat(message: str) -> str:
    """A message of Hydra on one line, without its search path and its advice to append unknown options."""
    for tail in ("Config search path", "full_key:", "To append to your config"):
        message = message.partition(tail)[0]
    return " ".join(message.split()).rstrip(".")
