"""HashHuman: a part-based hash-grid human NeRF from one monocular video.

These names are stable. They are imported when they are first used, so that `import hashhuman` takes no time:

- `load(folder)`: a finished run, as `LoadedRun`.
- `BodyPose`, `Camera`: what its `render` takes.
- `UserError`: what everything raises for an error that the user can correct.
"""

import importlib
from typing import Any

_HOMES = {
    "BodyPose": "hashhuman.body.template",
    "Camera": "hashhuman.geometry.camera",
    "LoadedRun": "hashhuman.api",
    "UserError": "hashhuman.errors",
    "load": "hashhuman.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
