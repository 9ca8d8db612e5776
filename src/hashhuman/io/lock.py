"""Lets one process at a time work on a folder."""

import contextlib
import errno
import fcntl
import itertools
import os
import shlex
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from hashhuman.errors import UserError

PROBE = 0.1  # seconds in which `holder_of` of another process lets go
ATTEMPTS = 1000  # to make a folder that other processes remove: more are no coincidence
LONGEST = 120  # characters of a command in a message
_held: set[Path] = set()  # the lock files of this process


@contextlib.contextmanager
def alone(folder: Path, wait: bool = True, inside: bool = False) -> Iterator[None]:
    """Holds the lock of a folder during the `with`. While another process holds it, prints who, and waits.

    Runs of a sweep use it before they make the same files. The system releases the lock if the process dies. The lock
    file, `.NAME.lock` beside the folder, is removed at the end, and so are parent folders that were made for it and
    are still empty: a command that fails leaves nothing behind, unless another process waits for the same lock.

    Args:
        folder: the folder, which need not exist.
        wait: whether to wait; if not, raises UserError while another process holds the lock.
        inside: whether the lock file is `.lock` in the folder, whose parent then need not be writable.
    """
    folder = Path(folder).absolute()
    path = _lock_file(folder, inside)
    made: list[Path] = []
    with _locked(path, made, folder, wait) as file:
        file.truncate(0)
        print(f"process {os.getpid()} ({_command()})", file=file, flush=True)
        _held.add(path)
        try:
            yield
        finally:
            _held.discard(path)
            path.unlink(missing_ok=True)  # while it is locked: whoever waits for it sees that it is gone
            for parent in made:
                with contextlib.suppress(OSError):  # it holds something
                    parent.rmdir()


def holder_of(folder: Path, inside: bool = False) -> str | None:
    """The process that holds the lock of a folder, in words; None: nobody does, or this process itself.

    It asks without waiting and changes nothing. `inside`: as in `alone`.
    """
    path = _lock_file(Path(folder).absolute(), inside)
    if path in _held:
        return None
    try:
        # Not to wait for a pipe in a folder from somebody else, nor to follow a link there.
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        return None
    with os.fdopen(number) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # closing the file gives it back
        except BlockingIOError:
            return _holder(file)
        except OSError:  # a file system without locks, on which nobody holds one
            return None
    return None


def _lock_file(folder: Path, inside: bool) -> Path:
    return folder / ".lock" if inside else folder.parent / f".{folder.name}.lock"


def _locked(path: Path, made: list[Path], folder: Path, wait: bool) -> TextIO:
    """Opens and locks the file at `path`; adds parent folders that had to be made to `made`, inner ones first."""
    told = ""
    for attempt in itertools.count(1):
        made[:0] = [parent for parent in path.parents if not parent.exists() and parent not in made]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644), "a+")
        except OSError as error:
            if error.errno == errno.ELOOP:  # in a folder from somebody else, it may lead to any file
                raise UserError(f"{path} is a link, and a lock must be a file: delete it.") from None
            if not isinstance(error, FileNotFoundError | FileExistsError):
                raise
            # Another process has just removed the folder that it made.
            if attempt == ATTEMPTS or (os.path.lexists(path.parent) and not path.parent.is_dir()):
                raise
            continue
        if not _taken(file):
            holder = _holder(file)
            if not wait:
                file.close()
                raise UserError(f"{folder} is in use by {holder}: wait until that has ended.") from None
            if holder != told:
                told = holder
                how = "this command goes on by itself when that has ended; Ctrl-C gives up"
                print(f"waiting for {holder}, which works on {folder}: {how}", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # the file that another process had locked is gone, and with it the lock
    raise AssertionError("unreachable")


def _taken(file: TextIO) -> bool:
    """Locks a file if no other process works with it. A process that only asks (`holder_of`) lets go at once."""
    for pause in (PROBE, 0.0):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(pause)
    return False


def _holder(file: TextIO) -> str:
    """Who holds the lock: what its holder wrote into the lock file."""
    file.seek(0)
    return file.read(LONGEST + 40).strip() or "another process"


def _command() -> str:
    text = shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]]) if sys.argv else ""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
