"""The packages that only exported meshes need."""

from typing import Any

from hashhuman.io.packages import require_package


def export_package(module: str, package: str | None = None) -> Any:
    """Imports a module of the extra `export`. Raises UserError, with what to do, if its package is missing."""
    return require_package(module, "The export of a mesh", "`pip install -e '.[export]'`", package)


def require_mesh_packages() -> None:
    """Raises UserError if a package that makes meshes is missing."""
    export_package("skimage.measure", "scikit-image")
    export_package("fast_simplification", "fast-simplification")
    export_package("xatlas")
