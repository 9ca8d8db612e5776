"""Who may use the avatar: one thread at a time, and during training only between two steps."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable


@runtime_checkable
class Turns(Protocol):
    """Hands the avatar to one thread after another."""

    def mine(self, seconds: float) -> contextlib.AbstractContextManager[bool]:
        """Context in which this thread alone uses the avatar, if it is True.

        Args:
            seconds: how long to wait for a turn; False if there was none.
        """
        ...


class AnyTime:
    """Turns of an avatar that nobody trains."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def mine(self, seconds: float) -> Iterator[bool]:
        """Waits until no other thread uses the avatar."""
        mine = self._lock.acquire(timeout=seconds)
        try:
            yield mine
        finally:
            if mine:
                self._lock.release()


class BetweenSteps:
    """Turns that the training thread gives, as long as they take no more than a share of its time.

    Args:
        share: the largest share of the time since the first step that turns may take.
        now: clock that returns seconds from any origin.
    """

    def __init__(self, share: float, now: Callable[[], float] = time.perf_counter) -> None:
        self.share, self.now = share, now
        self.spent = 0.0  # seconds
        self._began: float | None = None
        self._state = threading.Condition()
        self._waiting = 0
        self._free = True  # no thread has the turn that was given
        self._given = False  # a turn waits to be taken

    @contextlib.contextmanager
    def mine(self, seconds: float) -> Iterator[bool]:
        """Waits for the training thread, which stays where it is until the context ends."""
        with self._state:
            self._waiting += 1
            mine = self._state.wait_for(lambda: self._given, seconds)
            self._waiting -= 1
            self._given = False
        try:
            yield mine
        finally:
            if mine:
                with self._state:
                    self._free = True
                    self._state.notify_all()

    @property
    def elapsed(self) -> float:
        """Seconds since the first step."""
        return 0.0 if self._began is None else self.now() - self._began

    def due(self) -> bool:
        """Whether somebody waits for a turn, and the share of time allows one. The first call starts the time."""
        if self._began is None:
            self._began = self.now()
        return self._waiting > 0 and self.spent <= self.share * self.elapsed

    def give(self) -> None:
        """Gives one turn, and waits until it has ended. The training thread calls it between two steps."""
        began = self.now()
        with self._state:
            if not self._waiting:
                return
            self._given, self._free = True, False
            self._state.notify_all()
            self._state.wait_for(lambda: self._free)
        self.spent += self.now() - began
