"""Faster imports: postpones modules that a run may never use, and pauses the garbage collector."""

import contextlib
import gc
import importlib
import sys
import types
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any, ClassVar


class _Postponed(types.ModuleType):
    """Replaces a module until an attribute is read that it does not have; then imports the real module."""

    __path__: ClassVar[list[str]] = []  # as a package has one: so that the finder below is asked for what is in it

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # read by the import system
            raise AttributeError(attribute)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), attribute)


class _InPostponed(MetaPathFinder):
    """Imports a postponed package as soon as a module in it is imported."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """The module's, if it lies in a postponed package."""
        package = fullname.rpartition(".")[0]
        if not isinstance(sys.modules.get(package), _Postponed):
            return None
        del sys.modules[package]
        importlib.import_module(package)  # which may import the module itself
        return ModuleSpec(fullname, _Imported(importlib.import_module(fullname)))


class _Imported(Loader):
    """Hands over a module that has been imported already."""

    def __init__(self, module: types.ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        """The module."""
        return self.module

    def exec_module(self, module: types.ModuleType) -> None:
        """Gives the module back its own spec, which the import system has replaced."""
        module.__spec__ = self.spec


def postpone(name: str, **attributes: Any) -> None:
    """Postpones the import of a module until an attribute outside `attributes`, or a module in it, is used.

    Does nothing if the module is already imported.

    Args:
        name: full name of the module.
        attributes: attributes with their values, which are available without the import.
    """
    if name not in sys.modules:
        if not any(isinstance(finder, _InPostponed) for finder in sys.meta_path):
            sys.meta_path.insert(0, _InPostponed())
        stand_in = _Postponed(name)
        vars(stand_in).update(attributes)
        sys.modules[name] = stand_in


def postpone_scipy_signal() -> None:
    """Saves an import of Lightning that takes long. To be called before Lightning is imported.

    Lightning imports torchmetrics, which imports scipy.signal and with it most of SciPy. torchmetrics only checks
    whether a window function exists there, for an audio metric that nothing here uses.
    """
    postpone("scipy.signal", hamming=None)


def postpone_compiler() -> None:
    """Saves the import of PyTorch's compiler, by Lightning, and that of Triton where there is no GPU.

    To be called before Lightning is imported. Lightning only asks whether a module is a compiled one, and counts
    operations if it shall summarise a model. Optimizers keep themselves out of what is being compiled, and nothing is
    before somebody uses `torch.compile`, which imports the compiler.
    """
    postpone("torch._dynamo", OptimizedModule=_Compiled, disable=_as_it_is, graph_break=_nothing)
    postpone("torch.utils.flop_counter", FlopCounterMode=_flop_counter)


class _Compiled:
    """What no module is an instance of."""


def _as_it_is(function: Any = None, *_: Any, **__: Any) -> Any:
    return _as_it_is if function is None else function  # with options alone it makes a decorator


def _nothing(*_: Any, **__: Any) -> None:
    pass


def _flop_counter(*arguments: Any, **options: Any) -> Any:
    sys.modules.pop("torch.utils.flop_counter", None)
    return importlib.import_module("torch.utils.flop_counter").FlopCounterMode(*arguments, **options)


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
