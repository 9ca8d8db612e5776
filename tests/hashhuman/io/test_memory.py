"""Memory that is given back to the system."""

import subprocess
import sys

PROGRAM = """
from pathlib import Path
from hashhuman.io.memory import give_back
def resident(): return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
blocks = [bytes(50_000) for _ in range(2000)]  # small enough to come from the heap
kept = blocks[-1]  # at its end, so that the heap cannot shrink by itself
full = resident()
del blocks
before = resident()
give_back()
assert before > full - 10e6, (before, full)
assert resident() < full - 80e6, (resident(), full)
"""


def test_freed_memory_is_given_back():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
