"""Loops on several threads."""

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from hashhuman.cpu.kept import Kept
from hashhuman.cpu.loops import array, compiled, in_parallel


@compiled
def _square(first, last, values, out):
    for i in range(first, last):
        out[i] = values[i] * values[i]
    return first, last


@pytest.mark.parametrize(("n_threads", "ends"), [(1, [1000]), (3, [333, 666, 1000]), (64, [333, 666, 1000])])
def test_ranges_follow_each_other(n_threads: int, ends: list[int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    values, out = np.arange(1000.0), np.zeros(1000)
    spans = in_parallel(_square, 1000, values, out)
    assert spans == list(zip([0, *ends[:-1]], ends))
    np.testing.assert_array_equal(out, values**2)


def test_an_error_in_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    def fails(first: int, last: int) -> None:
        if first:
            raise ArithmeticError("in the second half")

    with pytest.raises(ArithmeticError, match="second half"):
        in_parallel(fails, 1000)


def test_loops_are_kept_in_files_of_our_own():
    assert isinstance(_square._cache, Kept)


def test_nothing_to_do():
    assert in_parallel(lambda first, last: last - first, 0) == [0]


def test_arrays_share_memory_where_they_can():
    values = torch.zeros(4, 3, requires_grad=True)
    array(values)[0] = 1
    assert values[0, 0] == 1
    assert array(values.t()).flags.c_contiguous and array(values, torch.long).dtype == np.int64


# A pool whose threads were not copied would wait for ever, so this runs in a process that can be ended.
FORKS = """
import os, torch
from hashhuman.cpu.kept import Kept
from hashhuman.cpu.loops import in_parallel
torch.get_num_threads = lambda: 2
assert in_parallel(lambda first, last: last - first, 1000) == [500, 500]
if child := os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(7 if in_parallel(lambda first, last: last - first, 1000) == [500, 500] else 1)
"""


def test_a_forked_process_has_threads_of_its_own():
    process = subprocess.Popen([sys.executable, "-c", FORKS], start_new_session=True)
    try:
        assert process.wait(60) == 7
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the fork, too


def test_where_no_folder_can_be_written_loops_are_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from numba.core.caching import CacheImpl

    monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    def plain(first, last):
        return last - first

    loops = [compiled(plain), compiled(plain)]
    assert [loop(2, 5) for loop in loops] == [3, 3]
    assert capsys.readouterr().out.count("NUMBA_CACHE_DIR") == 1
