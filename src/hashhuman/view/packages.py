"""The package that only the viewer needs."""

from typing import Any

from hashhuman.io.packages import require_package


def viser_package(module: str = "viser") -> Any:
    """Imports viser, or a module of it. Raises UserError, with what to do, if the package is missing."""
    return require_package(module, "The viewer", "`pip install -e '.[view]'`")
