"""Compiles loops with Numba, and runs them on all cores.

The files `*_loops.py` hold such loops. They do on a CPU what the Triton kernels beside them do on a GPU: one pass over
the data instead of one for each operation.
"""

import inspect
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

F = TypeVar("F", bound=Callable[..., Any])
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


def in_parallel(
    loop: Callable[..., Any], n_items: int, *arguments: Any, at_least: int = AT_LEAST, threads: int | None = None
) -> list[Any]:
    """Calls `loop(first, last, *arguments)` for consecutive ranges of the items, in several threads.

    These are threads of Python, which a forked process starts anew. Numba's own do not survive a fork, nor may two
    threads use them.

    Args:
        loop: the compiled loop.
        n_items: number of items.
        arguments: of the loop.
        at_least: items of a thread.
        threads: at most so many; None: as many as PyTorch uses.

    Returns:
        What the calls returned, in the order of the ranges.
    """
    n_threads = max(1, min(threads or torch.get_num_threads(), n_items // at_least))
    if n_threads == 1:
        return [loop(0, n_items, *arguments)]
    ends = [n_items * i // n_threads for i in range(n_threads + 1)]
    here, *others = itertools.pairwise(ends)
    waiting = [_threads(n_threads - 1).submit(loop, *span, *arguments) for span in others]
    return [loop(*here, *arguments), *(future.result() for future in waiting)]


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="loops")


os.register_at_fork(after_in_child=_threads.cache_clear)  # a fork copies the pools, but not their threads


def array(tensor: Tensor, dtype: torch.dtype = torch.float32) -> np.ndarray:
    """A tensor's values as a contiguous array of one dtype, so that each loop is compiled once; a copy if needed."""
    return tensor.detach().to(dtype).contiguous().numpy()
