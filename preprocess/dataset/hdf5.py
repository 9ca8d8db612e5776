"""Reads arrays of HDF5 files with h5py."""

from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io import limits
from hashhuman.io.packages import require_package


def require_h5py() -> Any:
    """The package. Raises UserError if it is missing."""
    return require_package("h5py", "An .hdf5 file", "`pip install -e '.[datasets]'`")


class Hdf5:
    """An HDF5 file, opened for each call.

    Args:
        path: the file.

    Every method raises UserError if the file is absent or damaged, or has no such array.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def count(self, name: str) -> int:
        """The length of an array's first axis."""
        return self._read(name, len)

    def array(self, name: str) -> np.ndarray:
        """An array."""
        return self._read(name, lambda array: array[()])

    def row(self, name: str, index: int) -> np.ndarray:
        """One row of an array."""
        return self._read(name, lambda array: array[index])

    def _read(self, name: str, take: Any) -> Any:
        h5py = require_h5py()
        try:
            with h5py.File(self.path, "r") as file:
                # a link, or an array kept elsewhere, would read other files
                own = name in file and isinstance(file.get(name, getlink=True), h5py.HardLink)
                array: Any = file[name] if own else None
                if not isinstance(array, h5py.Dataset) or array.is_virtual or array.external:
                    raise UserError(f"{self.path} has no array {name!r} of its own: is it this data set's?")
                if not array.shape or array.dtype.kind not in "biuf" or array.ndim > 3:
                    raise UserError(f"{self.path}: {name} must hold numbers: is it this data set's?")
                if array.nbytes > (limits.UNPACKED if array.ndim < 3 else array.shape[0] * limits.PIXELS):
                    raise UserError(f"{self.path}: {name} claims {array.nbytes} bytes, more than such arrays have.")
                return take(array)
        except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
            cause = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"{self.path} is not a readable HDF5 file: {cause.rstrip('.')}.") from None
