"""Child processes in tests.

No test asserts how long something takes. Where one would otherwise hang on failure it gives up after PATIENCE, which is
far more than a busy machine needs.
"""

import time
from pathlib import Path

PATIENCE = 120.0  # seconds


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie, i.e. has not ended and only waits for its parent to take note."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def ends(pid: int) -> bool:
    """Whether a process ends: a signal takes a moment to arrive."""
    deadline = time.monotonic() + PATIENCE
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_alive(pid)
