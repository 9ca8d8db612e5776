"""Spreads work over threads. It suits work that releases Python's global lock: files, OpenCV, numpy, PyTorch."""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


WORKERS = min(16, cores())
_usual = torch.get_num_threads()  # of the main thread
_within = threading.local()  # whether a thread is in `alone`
_starting = threading.Lock()  # `workers` changes PyTorch's thread count for a moment: one call at a time


def ordered(function: Callable[[T], R], items: Iterable[T], ahead: int = 2 * WORKERS) -> Iterator[R]:
    """`map(function, items)`, computed by threads; results come in the order of `items`.

    At most `ahead` results are computed before the caller takes them. If `function` raises, the exception is raised in
    place of that result, and no further call begins.
    """
    pool = workers()
    waiting: deque = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class Background:
    """Runs calls in threads beside the caller.

    Leaving the `with` waits for all calls, and raises the first exception in the order in which they began. If the body
    raises, calls that have not begun are cancelled.
    """

    def __enter__(self) -> "Background":
        self.pool, self.begun = workers(), []
        return self

    def __call__(self, function: Callable[..., R], *arguments: Any) -> "Future[R]":
        """Begins `function(*arguments)` in a thread and returns its future."""
        self.begun.append(self.pool.submit(function, *arguments))
        return self.begun[-1]

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for call in self.begun:
                call.result()


def workers(count: int = WORKERS) -> ThreadPoolExecutor:
    """A pool of `count` threads in each of which PyTorch computes with one thread.

    With more, the threads of all workers together would far outnumber the cores. Do not call it from a worker: the
    count that it restores would be the worker's, one, for all threads that begin later.
    """
    with _starting:
        usual = torch.get_num_threads()
        pool = ThreadPoolExecutor(count, initializer=_compute_alone)
        all_there = threading.Barrier(count)
        try:
            for started in [pool.submit(all_there.wait) for _ in range(count)]:
                started.result()
        except BaseException:  # if the system refuses a thread, the others would wait for it for ever
            all_there.abort()
            pool.shutdown()
            raise
        torch.set_num_threads(usual)  # a worker's count also becomes the default of later threads
        return pool


def _compute_alone() -> None:
    torch.get_num_threads()  # PyTorch initialises the count at first use, which would undo an earlier change
    torch.set_num_threads(1)


@contextlib.contextmanager
def alone() -> Iterator[int]:
    """Within, PyTorch computes with one thread; yields how many the main thread uses otherwise.

    For small operations, and beside `ordered`: between two operations PyTorch's threads spin on the cores that the
    workers need. A thread that begins while another one is in here gets PyTorch's count there, one, as its own: so no
    thread but the main one is asked for its count.
    """
    global _usual
    outermost = not getattr(_within, "alone", False)
    if outermost and threading.current_thread() is threading.main_thread():
        _usual = torch.get_num_threads()
    usual, _within.alone = _usual, True
    torch.set_num_threads(1)
    try:
        yield usual
    finally:
        if outermost:
            _within.alone = False
            torch.set_num_threads(usual)
