"""Faster imports: postpones modules that a run may never use, and pauses the garbage collector."""

import contextlib
import gc
import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any


class _Postponed(types.ModuleType):
    """Replaces a module until an attribute is read that it does not have; then imports the real module."""

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # read by the import system
            raise AttributeError(attribute)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), attribute)


def postpone(name: str, **attributes: Any) -> None:
    """Postpones the import of a module until an attribute outside `attributes` is used.

    Does nothing if the module is already imported.

    Args:
        name: full name of the module.
        attributes: attributes with their values, which are available without the import.
    """
    if name not in sys.modules:
        stand_in = _Postponed(name)
        vars(stand_in).update(attributes)
        sys.modules[name] = stand_in


def postpone_scipy_signal() -> None:
    """Saves an import of Lightning that takes long. To be called before Lightning is imported.

    Lightning imports torchmetrics, which imports scipy.signal and with it most of SciPy. torchmetrics only checks
    whether a window function exists there, for an audio metric that nothing here uses.
    """
    postpone("scipy.signal", hamming=None)


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Context for large imports: excludes the objects that they make from garbage collection for good.

    PyTorch and Lightning make about a million objects that live as long as the process. Scanning them costs time during
    the imports, while training and at exit.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()
