"""Imports optional packages when they are needed, and explains a failed import in one sentence with its cause."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from hashhuman.errors import UserError

Made = TypeVar("Made", bound=Callable)


def require_package(module: str, needed_by: str, advice: str, package: str | None = None) -> Any:
    """Imports a module of an optional package and returns it.

    Args:
        module: the module to import, for example `pytorch3d.ops`.
        needed_by: the option or the task that needs it, as the subject of the message.
        advice: what to do if it is missing, for example "`pip install wandb`, or choose logger=csv".
        package: the package's name for pip; None: the first part of `module`.

    Raises:
        UserError: if the package is not installed, or if it is installed but its import fails. Every `Exception` counts
            as failure: a package compiled for another GPU or PyTorch often raises something other than ImportError.
    """
    package = package or module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            state = "is not installed"
        else:
            state = f"is installed but does not import ({cause_of(error)})"
        raise UserError(f"{needed_by} needs the package {package}, which {state}: {advice}.") from error


def cause_of(error: BaseException) -> str:
    """The kind of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and the chain of its causes."""
    while error is not None:
        yield error
        error = error.__cause__


def requiring(require: Callable[..., object]) -> Callable[[Made], Made]:
    """Decorates a function that a config names as `_target_` with its check `require`.

    A class defines the static method `require` instead; see `hashhuman.checks.requirements`.
    """

    def decorate(made: Made) -> Made:
        vars(made)["require"] = require
        return made

    return decorate
