"""Explains errors that the user can correct in one sentence."""

import errno
import re
from collections.abc import Iterator
from pathlib import Path

from hydra.errors import HydraException, InstantiationException
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException

from hashhuman.errors import UserError
from hashhuman.io.packages import cause_of

OURS = ("hashhuman", "preprocess")
NO_TARGET = re.compile(rf"Error loading '(?!(?:{'|'.join(OURS)})\b)([^']+)':\n(.*)")  # Hydra, on a _target_ of others
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
            case TypeError() if "unexpected keyword argument" in str(cause) and cause is not error:
                return f"an option does not exist: {cause}."
    if isinstance(error, HydraException | OmegaConfBaseException) and not isinstance(error, InstantiationException):
        return ": ".join(_flat(str(cause)) for cause in causes) + "."
    return None


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and the chain of its causes."""
    while error is not None:
        yield error
        error = error.__cause__


def _flat(message: str) -> str:
    """A message of Hydra on one line, without its search path and its advice to append unknown options."""
    for tail in ("Config search path", "full_key:", "To append to your config"):
        message = message.partition(tail)[0]
    return " ".join(message.split()).rstrip(".")
