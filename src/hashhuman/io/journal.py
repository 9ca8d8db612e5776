"""A file of records that only grows: what long work has finished, and need not compute again after it was stopped.

A record is a line of JSON, which has its name, the SHA-256 of the files that belong to it, and the size and CRC-32 of
its arrays; then the arrays, as an .npz. A process may be killed at any moment: reading ends at the first record that is
not whole, and what follows is cut off.
"""

import json
import os
import threading
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io import limits
from hashhuman.io.files import read_npz, sha256

Arrays = Mapping[str, np.ndarray]
_HEADER = 2**16  # bytes: the longest line that is read


class _Entry(NamedTuple):
    start: int  # of the arrays in the file (bytes)
    size: int
    files: list[str]  # SHA-256


class Journal:
    """The records of one file, by name; of several with the same name the last one counts. For several threads at once.

    Args:
        path: the file; made if it is absent.

    Raises UserError if it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # In a folder from somebody else, a link may lead to any file.
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            with open(path, "rb") as file:
                self._end = self._scan(file)
            os.ftruncate(self._file, self._end)
        except OSError as error:
            raise UserError(f"{path} cannot be opened: {error.strerror}.") from None

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def _scan(self, file: BufferedReader) -> int:
        """Notes the records that are whole; returns where they end."""
        end = 0
        while (found := _read_header(file)) is not None:
            name, files, size, crc = found
            start = file.tell()
            if size > limits.size_of(file) or zlib.crc32(file.read(size)) != crc:
                break
            self._entries[name] = _Entry(start, size, files)
            end = start + size
        return end

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def get(self, name: str, files: Sequence[Path] = ()) -> dict[str, np.ndarray] | None:
        """The arrays of a record; None if there is none, or if `files` are not as they were when it was added.

        Those files then count as written now: their times are set.
        """
        entry = self._entries.get(name)
        if entry is None or not _hold(files, entry.files):
            return None
        try:
            data = os.pread(self._file, entry.size, entry.start)
            arrays = read_npz(data)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None
        for path in files:
            os.utime(path)
        return arrays

    def add(self, name: str, arrays: Arrays, files: Sequence[Path] = ()) -> None:
        """Adds a record, and what `files` hold, which are written already. Raises UserError if it cannot be written."""
        buffer = BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        data, hashes = buffer.getvalue(), [sha256(path) for path in files]
        header = json.dumps([name, hashes, len(data), zlib.crc32(data)]).encode() + b"\n"
        record = header + data
        with self._lock:
            try:
                written = 0
                while written < len(record):  # a disk that becomes full takes a part first
                    written += os.pwrite(self._file, record[written:], self._end + written)
            except OSError as error:
                raise UserError(f"{self.path} cannot be written: {error.strerror}.") from None
            self._entries[name] = _Entry(self._end + len(header), len(data), hashes)
            self._end += len(record)

    def once(self, name: str, compute: Callable[[], Arrays], files: Sequence[Path] = ()) -> Arrays:
        """The arrays of a record. If there is none, or its files have changed, `compute` makes both.

        Args:
            name: of the record.
            compute: returns the arrays, and writes the files.
            files: that belong to the record.
        """
        arrays = self.get(name, files)
        if arrays is None:
            arrays = compute()
            self.add(name, arrays, files)
        return arrays


def _read_header(file: BufferedReader) -> tuple[str, list[str], int, int] | None:
    """Name, hashes of files, size and CRC-32 of the next record; None if there is none."""
    try:
        name, files, size, crc = json.loads(file.readline(_HEADER))
    except (ValueError, TypeError, RecursionError):
        return None
    whole = isinstance(name, str) and isinstance(files, list) and isinstance(size, int) and isinstance(crc, int)
    return (name, files, size, crc) if whole and size >= 0 else None


def _hold(files: Sequence[Path], hashes: list[str]) -> bool:
    try:
        return len(files) == len(hashes) and all(sha256(path) == known for path, known in zip(files, hashes))
    except OSError:
        return False
