"""Compiles loops with Numba, and runs them on all cores.

The files `*_loops.py` hold such loops. They do on a CPU what the Triton kernels beside them do on a GPU: one pass over
the data instead of one for each operation.
"""

import contextlib
import functools
import inspect
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from hashhuman.io import threads

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")
AT_LEAST = 256  # items of a thread; for fewer, waking it takes longer than the work


def compiled(function: F) -> F:
    """Compiles a function at its first call, and keeps the result on disk for later processes.

    It releases the interpreter's lock, so that `in_parallel` uses all cores. It may call compiled functions of its own
    file only: what is kept on disk is dropped when that file changes, not when another one does. Where no folder can be
    written, as in a container without a home, each process compiles anew, and says so.
    """
    import numba  # takes half a second, and is not needed on a GPU

    from hashhuman.cpu.kept import Kept

    plain = inspect.unwrap(function)  # where types are checked while tests run, a wrapper is around it
    loop: Any = numba.njit(plain, nogil=True)
    try:
        loop._cache = Kept(plain)  # what `cache=True` does, with files of our own
    except RuntimeError:  # "no locator available"
        _tell_of_compiling()
    return loop


@cache
def _tell_of_compiling() -> None:
    print(
        "Compiled loops cannot be kept, so each start compiles them anew, which takes some seconds: "
        "NUMBA_CACHE_DIR=FOLDER names a folder for them that can be written.",
        flush=True,
    )


_limit: int | None = None  # threads of loops; None: as many as PyTorch uses


def limit_threads(count: int | None) -> None:
    """Sets the number of threads that loops use from now on; None: as many as PyTorch uses."""
    global _limit
    _limit = count


def n_threads() -> int:
    """The number of threads that loops use."""
    return _limit or torch.get_num_threads()


@contextlib.contextmanager
def threads_for_torch() -> Iterator[None]:
    """Context in which PyTorch uses as many threads as loops do."""
    usual = torch.get_num_threads()
    if usual == n_threads():
        yield
        return
    torch.set_num_threads(n_threads())
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def in_parallel(
    loop: Callable[..., Any], n_items: int, *arguments: Any, at_least: int = AT_LEAST, threads: int | None = None
) -> list[Any]:
    """Calls `loop(first, last, *arguments)` for consecutive ranges of the items, in several threads.

    Args:
        loop: the compiled loop.
        n_items: number of items.
        arguments: of the loop.
        at_least: items of a thread.
        threads: at most so many; None: as many as PyTorch uses.

    Returns:
        What the calls returned, in the order of the ranges.
    """
    count = max(1, min(threads or n_threads(), n_items // at_least))
    ends = [n_items * i // count for i in range(count + 1)]
    return _together([functools.partial(loop, *span, *arguments) for span in itertools.pairwise(ends)])


def in_shares(work: Callable[[int], R], sizes: Sequence[int]) -> list[R]:
    """Calls `work(i)` for all i below len(sizes), divided among the threads so that the sizes of each add up alike.

    Args:
        work: whatever releases the interpreter's lock most of the time: compiled loops, or PyTorch's operations.
        sizes: how long each call takes, in any unit.

    Returns:
        What the calls returned, in the order of i.
    """
    shares: list[list[int]] = [[] for _ in range(max(1, min(n_threads(), sum(size > 0 for size in sizes))))]
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        min(shares, key=lambda share: sum(sizes[j] for j in share)).append(i)
    results: dict[int, R] = {}
    _together([functools.partial(lambda share: results.update({i: work(i) for i in share}), share) for share in shares])
    return [results[i] for i in range(len(sizes))]


def _together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """What calls return, one of them made here and each other one in a thread of its own.

    These are threads of Python, which a forked process starts anew. Numba's own do not survive a fork, nor may two
    threads use them.
    """
    here, *others = calls
    if not others:
        return [here()]
    waiting = [_threads(len(others)).submit(call) for call in others]
    return [here(), *(future.result() for future in waiting)]


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return threads.workers(count)


os.register_at_fork(after_in_child=_threads.cache_clear)  # a fork copies the pools, but not their threads


def array(tensor: Tensor, dtype: torch.dtype = torch.float32) -> np.ndarray:
    """A tensor's values as a contiguous array of one dtype, so that each loop is compiled once; a copy if needed."""
    return tensor.detach().to(dtype).contiguous().numpy()
