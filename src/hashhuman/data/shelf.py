"""Arrays that grow row by row and, beyond a budget of memory, lie in a file.

The file has no name: the system removes it with the process, however that ends. It keeps in memory as much of the file
as there is room for.
"""

import math
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from hashhuman.errors import UserError

MIB = 2**20


class Shelf:
    """Shares a budget among several growing arrays.

    Args:
        budget_mb: the most memory of all its arrays together (MiB).
        folder: for the files of what is more; made when it is needed. None: there is no bound.
    """

    def __init__(self, budget_mb: int | float = math.inf, folder: Path | None = None) -> None:
        self.budget = math.inf if folder is None else budget_mb * MIB
        self.folder = folder
        self.used = 0  # bytes in memory

    def rows(self) -> "Rows":
        """A new array without rows."""
        return Rows(self)

    def open_file(self) -> IO[Any]:
        """A file without a name. Raises UserError if it cannot be made."""
        assert self.folder is not None  # without one, the budget is not bounded
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return tempfile.TemporaryFile(dir=self.folder)
        except OSError as error:
            raise self.full(error) from None

    def full(self, error: OSError) -> UserError:
        """What to say of an error in the file."""
        return UserError(
            f"{self.folder} takes no more pixels ({error.strerror or error}), and data.memory_mb={self.budget / MIB:g} "
            "is too little for all of them: make room there, or raise data.memory_mb."
        )


class Rows:
    """One growing array: rows of one shape and dtype, as the first ones have them."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._parts: list[np.ndarray] = []
        self._file: IO[Any] | None = None
        self._count = 0
        self._kind = np.empty(0)

    def append(self, rows: np.ndarray) -> None:
        """Adds rows. Raises UserError if they do not fit into the file."""
        self._kind = rows[:0]
        self._count += len(rows)
        self._parts.append(rows)
        self.shelf.used += rows.nbytes
        if self._file is not None or self.shelf.used > self.shelf.budget:
            self._move()

    def _move(self) -> None:
        """Moves the rows in memory to the file."""
        self._file = self._file or self.shelf.open_file()
        try:
            for part in self._parts:
                np.ascontiguousarray(part).tofile(self._file)
                self.shelf.used -= part.nbytes
        except OSError as error:
            raise self.shelf.full(error) from None
        self._parts = []

    def finish(self) -> np.ndarray:
        """All rows; mapped from the file if they lie there. No more can be added."""
        if self._file is None or not self._count:
            return np.concatenate([self._kind, *self._parts])
        self._file.flush()
        shape = (self._count, *self._kind.shape[1:])
        return np.memmap(self._file, self._kind.dtype, mode="r+", shape=shape)
