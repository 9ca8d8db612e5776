"""Keeps the decoded and cropped training pictures in the subject's folder for the next run."""

import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.data.pixels import Crops
from hashhuman.errors import UserError
from hashhuman.io import files
from hashhuman.io.inside import check_inside

MIB = 2**20
log = logging.getLogger(__name__)


def stamp(sources: Iterable[Path], **settings: Any) -> str:
    """A text that changes with the settings, and with the name, size or time of change of a source file.

    It includes ctime, the time of the last change to the file or its name, which programs cannot set back.
    """
    states = [(str(path), path.stat()) for path in sources]
    seen = [[name, state.st_size, state.st_mtime_ns, state.st_ctime_ns] for name, state in states]
    return json.dumps({"settings": settings, "files": seen}, sort_keys=True)


class PixelCache:
    """Files `pixels-*.npz` in a folder. The folder may be deleted at any time.

    Args:
        folder: the folder, which may not be a link that leads out of its parent: files are deleted in it.
        limit: size of all files together (MiB). The least recently used file is deleted first. With 0, no file is
            written or read.
    """

    def __init__(self, folder: Path, limit: int | float) -> None:
        self.folder, self.limit = Path(folder), limit
        if limit > 0:
            check_inside(self.folder.parent, [self.folder])

    def get(self, stamp: str) -> Crops | None:
        """The crops with a stamp; None if there are none, or their file is damaged."""
        path = self._path(stamp)
        if self.limit <= 0 or not path.exists():
            return None
        try:
            arrays = files.load_npz(path)
            if str(arrays.pop("stamp")) != stamp:
                return None
            crops = Crops(**arrays)
            path.touch()
        except (UserError, OSError, KeyError, TypeError):
            return None  # the caller decodes the pictures again
        return crops

    def put(self, stamp: str, crops: Crops) -> None:
        """Writes crops, unless they alone exceed the limit. If the file cannot be written, only logs a warning."""
        arrays = vars(crops) | {"stamp": np.array(stamp)}
        if sum(array.nbytes for array in arrays.values()) > self.limit * MIB:
            return
        try:
            with files.atomic_path(self._path(stamp)) as sibling:
                np.savez(sibling, allow_pickle=False, **arrays)
            self._tidy()
        except (UserError, OSError) as error:
            log.warning("Decoded pictures are not kept for the next run: %s", error)

    def _path(self, stamp: str) -> Path:
        return self.folder / f"pixels-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}.npz"

    def _tidy(self) -> None:
        kept = sorted(self.folder.glob("pixels-*.npz"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        total = 0
        for path in kept:
            total += path.stat().st_size
            if total > self.limit * MIB:
                path.unlink(missing_ok=True)
