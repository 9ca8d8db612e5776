"""Compiled loops on disk: what several processes keep there at the same time, and what a new source leaves."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = """
import numba
from hashhuman.cpu.kept import Kept

def plain(first, last, values):
    result = values[0] - values[0]
    for i in range(first, last):
        result += values[i]
    return result{more}

total = numba.njit(plain)
total._cache = Kept(plain)  # as `compiled` does, without importing torch
"""
# Compiles `total` for one type. At its COUNT-th renaming of a file it writes to one pipe, and waits for another one.
WORK = """
import os, sys
import numpy as np
from sums import total

kind, count, tell, wait = sys.argv[1], *map(int, sys.argv[2:])
seen = 0

def pause(event, arguments):
    global seen
    if event == "os.rename" and ".py3" in str(arguments[1]):
        seen += 1
        if seen == count:
            os.write(tell, b"!")
            os.read(wait, 1)

sys.addaudithook(pause)
print(total(0, 6, np.arange(6).astype(kind)), sum(total.stats.cache_hits.values()))
"""


def start(folder: Path, kind: str, *pause: int) -> subprocess.Popen[str]:
    count, tell, wait = pause or (0, 0, 0)
    paths = [str(folder), str(Path(importlib.util.find_spec("hashhuman").origin).parents[1])]  # type: ignore
    return subprocess.Popen(
        [sys.executable, "-c", WORK, kind, str(count), str(tell), str(wait)], stdout=subprocess.PIPE, text=True,
        pass_fds=(tell, wait), env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip


def said(process: subprocess.Popen[str]) -> str:
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return printed.strip()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what one process kept for float32, and which a copy of the folder keeps. Shared: copy it."""
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "sums.py").write_text(SOURCE.format(more=""))
    assert said(start(folder, "float32")) == "15.0 0"
    assert said(start(copy(folder, tmp_path_factory.mktemp("copy")), "float32")) == "15.0 1"
    return folder


def copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to, dirs_exist_ok=True))  # with the times of files, by which Numba knows them


def test_two_processes_that_compile_for_different_types(tmp_path: Path):
    """The first one waits at its first file until the other is at its second, which waits until the first has ended:
    in this order, Numba's own files mix the two."""
    (tmp_path / "sums.py").write_text(SOURCE.format(more=""))
    told, first_waits, second_waits = os.pipe(), os.pipe(), os.pipe()
    first = start(tmp_path, "float32", 1, told[1], first_waits[0])
    os.read(told[0], 1)
    second = start(tmp_path, "int32", 2, told[1], second_waits[0])
    os.read(told[0], 1)
    os.write(first_waits[1], b"!")
    assert said(first) == "15.0 0"
    os.write(second_waits[1], b"!")
    assert said(second) == "15 0"
    assert [said(start(tmp_path, kind)).split()[0] for kind in ("float32", "int32")] == ["15.0", "15"]
    assert [said(start(tmp_path, kind)) for kind in ("float32", "int32")] == ["15.0 1", "15 1"]  # all are kept now


def test_files_of_an_earlier_source_are_neither_read_nor_kept(compiled: Path, tmp_path: Path):
    source = copy(compiled, tmp_path) / "sums.py"
    old = {path.name for path in tmp_path.glob("__pycache__/*.nbc")}
    source.write_text(SOURCE.format(more=" + 1"))
    assert said(start(tmp_path, "float32")) == "16.0 0"
    assert said(start(tmp_path, "float32")) == "16.0 1"
    new = {path.name for path in tmp_path.glob("__pycache__/*.nbc")}
    assert len(old) == len(new) == 1 and old != new


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("left", [0, 0.5])
def test_damaged_files_are_compiled_again(compiled: Path, tmp_path: Path, kind: str, left: float):
    """A machine that crashes leaves empty files, or half ones."""
    copy(compiled, tmp_path)
    (damaged,) = tmp_path.glob(f"__pycache__/*.{kind}")
    os.truncate(damaged, int(left * damaged.stat().st_size))
    assert said(start(tmp_path, "float32")) == "15.0 0"
    assert said(start(tmp_path, "float32")) == "15.0 1"


def test_what_cannot_be_written_is_compiled_again(compiled: Path, tmp_path: Path):
    """Here because a folder is in the index's place; otherwise because the disk is full."""
    copy(compiled, tmp_path)
    (index,) = tmp_path.glob("__pycache__/*.nbi")
    index.unlink()
    index.mkdir()
    assert said(start(tmp_path, "float32")) == "15.0 0"
