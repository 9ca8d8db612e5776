"""Lets one process at a time work on a folder."""

import contextlib
import fcntl
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

ATTEMPTS = 1000  # to make a folder that other processes remove: more are no coincidence


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder during the `with`; waits first while another process holds it.

    Runs of a sweep use it before they make the same files. The system releases the lock if the process dies. The lock
    file, `.NAME.lock` beside the folder, is removed at the end, and so are parent folders that were made for it and
    are still empty: a command that fails leaves nothing behind, unless another process waits for the same lock.
    """
    path = Path(folder).parent / f".{Path(folder).name}.lock"
    made: list[Path] = []
    with _locked(path, made):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # while it is locked: whoever waits for it sees that it is gone
            for parent in made:
                with contextlib.suppress(OSError):  # it holds something
                    parent.rmdir()


def _locked(path: Path, made: list[Path]) -> TextIO:
    """Opens and locks the file at `path`; adds parent folders that had to be made to `made`, inner ones first."""
    for attempt in itertools.count(1):
        made[:0] = [parent for parent in path.parents if not parent.exists() and parent not in made]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("w")
        except (FileNotFoundError, FileExistsError):  # another process has just removed the folder that it made
            if attempt == ATTEMPTS or (os.path.lexists(path.parent) and not path.parent.is_dir()):
                raise
            continue
        fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # the file that another process had locked is gone, and with it the lock
    raise AssertionError("unreachable")
