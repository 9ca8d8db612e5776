"""Lets Lightning import torchmetrics without the large packages that some of its metrics use.

Lightning needs one class of torchmetrics, which at its import imports whatever its metrics may use: transformers and
torchvision, where these are installed, and with them PyTorch's compiler, SymPy and scikit-learn. On a machine with a
GPU that was eight seconds at each start. Nothing here uses these metrics.
"""

import contextlib
import pkgutil
import sys
import types
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any, ClassVar

LARGE = ("torchvision", "transformers")


class _Later(types.ModuleType):
    """Stands for a module, or for what is in one, until it is used. An import from it makes another of its kind."""

    __path__: ClassVar[list[str]] = []  # as a package has one
    importing: ClassVar[bool] = False  # whether torchmetrics is being imported

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # read by the import system
            raise AttributeError(attribute)
        name = f"{self.__name__}.{attribute}"
        return _Later(name) if _Later.importing else pkgutil.resolve_name(name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return pkgutil.resolve_name(self.__name__)(*arguments, **options)


class _LaterLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return _Later(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing is imported."""


class _Light(Loader):
    """Imports a module by its own loader, while large packages are stood for.

    Args:
        loader: of the module.
        large: names of the packages.
    """

    def __init__(self, loader: Any, large: Sequence[str]) -> None:
        self.loader, self.large = loader, large

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self.loader  # type: ignore[assignment]  # which others may ask
        with _stood_for(self.large):
            self.loader.exec_module(module)


class _Finder(MetaPathFinder):
    """Finds `package` with the loader above, and whatever lies in a package that is stood for."""

    def __init__(self, package: str, large: Sequence[str]) -> None:
        self.package, self.large = package, large

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """The module's, if it is one of these."""
        if isinstance(sys.modules.get(fullname.rpartition(".")[0]), _Later):
            return ModuleSpec(fullname, _LaterLoader(), is_package=True)
        if fullname != self.package:
            return None
        sys.meta_path.remove(self)
        try:
            spec = find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            spec.loader = _Light(spec.loader, self.large)
        return spec


@contextlib.contextmanager
def _stood_for(names: Sequence[str]) -> Iterator[None]:
    """Context in which packages that were not imported before are stood for."""
    for name in names:
        if name not in sys.modules and (spec := find_spec(name)) is not None:
            sys.modules[name] = _Later(name)
            sys.modules[name].__spec__ = spec  # by which others find out whether it is installed
    _Later.importing = True
    try:
        yield
    finally:
        _Later.importing = False
        for name in [name for name, module in sys.modules.items() if isinstance(module, _Later)]:
            del sys.modules[name]


def make_light(package: str = "torchmetrics", large: Sequence[str] = LARGE) -> None:
    """Lets the next import of a package do without large packages; to be called before it is imported.

    What the package has taken from them is imported when it is called, or an attribute of it is read.
    """
    if package not in sys.modules and not any(isinstance(f, _Finder) and f.package == package for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder(package, large))
