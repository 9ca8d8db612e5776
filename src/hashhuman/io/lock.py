"""Lets one process at a time work on a folder."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder during the `with`; waits first while another process holds it.

    Runs of a sweep use it before they make the same files. The system releases the lock if the process dies. The lock
    file, `.NAME.lock` beside the folder, stays.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
