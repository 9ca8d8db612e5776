"""A command whose reader goes away ends as other programs do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hashhuman.cli import broken_pipe
from tests.processes import PATIENCE

ROOT = Path(__file__).parents[3]


def without_reader(*command: str, both: bool = False) -> tuple[int, str]:
    """Exit status and standard error of a Python command whose standard output (or both) nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    environment.pop("PYTHONUNBUFFERED", None)  # what is printed shall wait in a buffer
    try:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT, env=environment, stdout=writing, stderr=writing if both else subprocess.PIPE, timeout=PATIENCE,
        )  # fmt: skip
    finally:
        os.close(writing)
    return done.returncode, "" if both else done.stderr.decode()


@pytest.mark.parametrize(
    "command", [("train.py", "--help"), ("-m", "preprocess", "--cfg", "job"), ("-m", "hashhuman", "--help")]
)
def test_commands_end_quietly(command: tuple[str, ...]):
    """Hydra's, those of a config, and the console command."""
    assert without_reader(*command) == (broken_pipe.STATUS, "")


WORK = """
import os, sys, threading
from rich.console import Console
from hashhuman.cli.broken_pipe import ends_quietly
with ends_quietly():
    {}
os._exit(7)  # not reached
"""


@pytest.mark.parametrize(
    "work",
    [
        "print('a'); print('b', flush=True)",
        "print('buffered')",
        "sys.exit(print('buffered'))",
        "Console().print('a table')",  # which would exit with status 1
        "thread = threading.Thread(target=print, args=('a',), kwargs={'flush': True}); thread.start(); thread.join(); "
        "print('b', flush=True)",
    ],
)
def test_whatever_prints(work: str):
    assert without_reader("-c", WORK.format(work)) == (141, "")


def test_a_failure_keeps_its_status_and_its_message():
    """`train.py | grep -m1 x` must not take the traceback from who can still read it."""
    status, said = without_reader("-c", WORK.format("print('buffered'); raise RuntimeError('a fault')"))
    assert status == 1 and "Traceback" in said and "RuntimeError: a fault" in said
    assert without_reader("-c", WORK.format("print('buffered'); sys.exit('a sentence')")) == (1, "a sentence\n")


def test_a_stream_that_was_closed_before():
    """As by the shell's `>&-`: Python then has none, and prints nothing."""
    work = "import os; os.close(1); os.execv(sys.executable, [sys.executable, '-c', {!r}])"
    imports = "import sys\nfrom hashhuman.cli.broken_pipe import ends_quietly\n"
    inner = imports + "with ends_quietly(): print('a'); sys.exit(3)"
    assert without_reader("-c", "import sys; " + work.format(inner)) == (3, "")


def test_errors_that_nobody_reads():
    assert without_reader("train.py", "nosuch.mp4", both=True)[0] == 141


def test_other_pipes_are_no_readers():
    """A pipe to another program that has ended is a fault, and stays one."""
    with pytest.raises(BrokenPipeError), broken_pipe.ends_quietly():
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "wb", buffering=0) as file:
            file.write(b"a picture")
