"""Temporary names of files that are being written, and the removal of those that a killed run has left.

A name holds a mark of the machine and the number of the process, so that a file that another process is writing at this
moment is told apart from a leftover.
"""

import contextlib
import hashlib
import os
import re
import socket
import time
from pathlib import Path

DAY = 86400  # seconds: a file of another machine that is older is no longer being written
_NAME = re.compile(r"\..*\.part-([0-9a-f]{6})-(\d+)-[^.]*(\..*)?", re.DOTALL)


def temporary_prefix(path: Path) -> str:
    """The beginning of the temporary name of a file, for `tempfile.mkstemp(prefix=...)`."""
    return f".{path.stem[:64]}.part-{_machine()}-{os.getpid()}-"


def _machine() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def is_leftover(path: Path) -> bool:
    """Whether a file has a temporary name, and the process that wrote it is gone.

    Of a process on another machine this cannot be known: its file counts as a leftover when it is a day old.
    """
    found = _NAME.fullmatch(path.name)
    if found is None:
        return False
    if found[1] == _machine():
        return not Path(f"/proc/{found[2]}").exists() if Path("/proc/self").exists() else _is_old(path)
    return _is_old(path)


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > DAY
    except OSError:
        return False


def sweep(folder: Path) -> int:
    """Deletes the leftovers in a folder and the folders below it, without following links; returns how many."""
    removed = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if ".part-" in name and is_leftover(path):
                with contextlib.suppress(OSError):  # another process has removed it
                    path.unlink()
                    removed += 1
    return removed
