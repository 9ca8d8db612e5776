"""Work spread over threads, for what releases Python's lock: files, OpenCV, arrays."""

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
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


WORKERS = min(16, cores())
_starting = threading.Lock()  # one pool at a time tells PyTorch how many threads to compute in


def ordered(function: Callable[[T], R], items: Iterable[T], ahead: int = 2 * WORKERS) -> Iterator[R]:
    """`map(function, items)`, computed by threads; at most `ahead` results wait for whoever takes them.

    An exception of `function` is raised in the place of its result, and nothing further is begun.
    """
    pool = _workers()
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
    """Calls that run beside the program; leaving the `with` waits for all and raises the first exception of any."""

    def __enter__(self) -> "Background":
        self.pool, self.begun = _workers(), []
        return self

    def __call__(self, function: Callable[..., R], *arguments: Any) -> "Future[R]":
        """Begins `function(*arguments)`."""
        self.begun.append(self.pool.submit(function, *arguments))
        return self.begun[-1]

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for call in self.begun:
                call.result()


def _workers() -> ThreadPoolExecutor:
    """Threads in each of which PyTorch computes alone: teams of them would outnumber the cores many times.

    Not to be called by one of them: threads that begin later would compute alone as well.
    """
    with _starting:
        usual = torch.get_num_threads()
        pool = ThreadPoolExecutor(WORKERS, initializer=_compute_alone)
        all_there = threading.Barrier(WORKERS)
        try:
            for started in [pool.submit(all_there.wait) for _ in range(WORKERS)]:
                started.result()
        except BaseException:  # such as a thread that the system refuses: those waiting for it would wait for ever
            all_there.abort()
            pool.shutdown()
            raise
        torch.set_num_threads(usual)  # what the workers have set is also what threads begin with that come later
        return pool


def _compute_alone() -> None:
    torch.get_num_threads()  # settles the thread's number before it is changed
    torch.set_num_threads(1)
