"""Imports that cost less: those that a run never uses are put off, and the garbage collector keeps out of the way."""

import contextlib
import gc
import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any


class _Postponed(types.ModuleType):
    """Stands for a module until an attribute other than those it was given is asked for."""

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # the import system's own questions
            raise AttributeError(attribute)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), attribute)


def postpone(name: str, **attributes: Any) -> None:
    """Lets `import name` cost nothing until it is used for more than `attributes`; what is imported stays."""
    if name not in sys.modules:
        stand_in = _Postponed(name)
        vars(stand_in).update(attributes)
        sys.modules[name] = stand_in


def spare_lightning() -> None:
    """To be called before Lightning is imported.

    It imports torchmetrics, which imports scipy.signal and with it most of SciPy, only to see whether that has a window
    function that one of its audio metrics, which nothing here uses, looks for.
    """
    postpone("scipy.signal", hamming=None)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """For large imports: what they make is not looked through for garbage, now, while training, or at the end.

    PyTorch and Lightning make some million objects that last as long as the process does.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()
