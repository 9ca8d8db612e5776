"""SHA-256 of many files, which are read only if they have changed since the last time."""

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from hashhuman.errors import UserError
from hashhuman.io import files, threads

SETTLED = 10.0  # seconds: a file that has changed less long ago may change again within one tick of its clock
_SHA256 = re.compile("[0-9a-f]{64}")


class Digests:
    """Remembers the digests of files in a file of its own, which may be deleted at any time.

    A digest holds while its file has the same size, inode, time of change, and ctime: the time of the last change to
    the file or its name, which programs cannot set back.

    Args:
        path: the file of digests; if it cannot be written, nothing is remembered.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, paths: Mapping[str, Path]) -> dict[str, str]:
        """The SHA-256 of each file, in hexadecimal.

        Args:
            paths: the files, by the names under which they are remembered.
        """
        known, begun = self._load(), time.time_ns()
        states = {name: _state(path) for name, path in paths.items()}
        found = {name: known[name][1] for name, state in states.items() if known.get(name, (None,))[0] == state}
        others = [name for name in paths if name not in found]
        found |= zip(others, threads.ordered(lambda name: files.sha256(paths[name]), others))
        settled = {name for name, state in states.items() if max(state[2:]) < begun - SETTLED * 1e9}
        if others:
            self._save({name: (states[name], found[name]) for name in paths if name in settled})
        return {name: found[name] for name in paths}

    def _load(self) -> dict[str, tuple[list[int], str]]:
        """What is remembered, without entries that are damaged."""
        try:
            content = files.load_json(self.path)
        except (UserError, OSError):
            return {}
        entries = content.items() if isinstance(content, dict) else ()
        return {name: (entry[0], entry[1]) for name, entry in entries if _is_sound(entry)}

    def _save(self, entries: Mapping[str, tuple[list[int], str]]) -> None:
        try:
            files.save_json(self.path, entries)
        except (UserError, OSError):
            return


def _state(path: Path) -> list[int]:
    state = os.stat(path)
    return [state.st_size, state.st_ino, state.st_mtime_ns, state.st_ctime_ns]


def _is_sound(entry: object) -> bool:
    match entry:
        case [[int(), int(), int(), int()], str(digest)]:
            return _SHA256.fullmatch(digest) is not None
    return False
