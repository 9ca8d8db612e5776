"""Loops on several threads."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from hashhuman.cpu import loops
from hashhuman.cpu.kept import Kept
from hashhuman.cpu.loops import array, compiled, in_parallel, in_shares


@compiled
def _square(first, last, values, out):
    for i in range(first, last):
        out[i] = values[i] * values[i]
    return first, last


@pytest.mark.parametrize(("n_threads", "ends"), [(1, [1000]), (3, [333, 666, 1000]), (64, [333, 666, 1000])])
def test_ranges_follow_each_other(n_threads: int, ends: list[int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loops, "_limit", n_threads)
    values, out = np.arange(1000.0), np.zeros(1000)
    spans = in_parallel(_square, 1000, values, out)
    assert spans == list(zip([0, *ends[:-1]], ends))
    np.testing.assert_array_equal(out, values**2)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_shares_are_alike_and_results_in_order(count: int):
    by_thread: dict[int, list[int]] = {}

    def work(i: int) -> int:
        by_thread.setdefault(threading.get_ident(), []).append(i)
        time.sleep(0.01)  # so that each thread takes its own share only
        return 10 * i

    loops.limit_threads(count)
    try:
        assert in_shares(work, [3, 0, 8, 4, 1]) == [0, 10, 20, 30, 40]
    finally:
        loops.limit_threads(None)
    assert len(by_thread) == min(count, 4)  # nobody is woken for nothing
    if count == 2:
        assert {frozenset(share) - {1} for share in by_thread.values()} == {frozenset({2}), frozenset({0, 3, 4})}
    assert in_shares(work, []) == []


def test_threads_of_shares_compute_alone():
    loops.limit_threads(3)
    try:
        counts = in_shares(lambda i: torch.get_num_threads(), [1, 1, 1])
    finally:
        loops.limit_threads(None)
    assert counts == [1, 1, 1]  # conftest.py sets one for the caller


def test_pytorch_gets_the_threads_of_loops_where_asked_for():
    usual = torch.get_num_threads()
    loops.limit_threads(usual + 1)
    try:
        with pytest.raises(ArithmeticError), loops.threads_for_torch():
            assert torch.get_num_threads() == usual + 1
            raise ArithmeticError
        assert torch.get_num_threads() == usual and loops.n_threads() == usual + 1
    finally:
        loops.limit_threads(None)
    with loops.threads_for_torch():
        assert torch.get_num_threads() == usual == loops.n_threads()


def test_an_error_in_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loops, "_limit", 2)

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
