"""SIGTERM and SIGINT: the first one stops a command in order, with status 143 or 130; the second ends it at once.

A command that is watched (`watched`) gets `Interrupted` raised in its main thread. Work that must reach a safe point
first, such as a training step, defers it (`defer`) and asks at its safe points (`requested`).
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT)
ADVICE = "the same command goes on with what is not finished"


class Interrupted(BaseException):
    """A signal has stopped the command. Not an `Exception`: nothing may take it for a failure and go on.

    Args:
        signum: the signal.
        advice: how the work is continued, as a clause.
    """

    def __init__(self, signum: int, advice: str = ADVICE) -> None:
        super().__init__(signum, advice)
        self.signum, self.advice = signum, advice

    @property
    def status(self) -> int:
        """The exit status by the shell's convention: 143 for SIGTERM, 130 for SIGINT."""
        return 128 + self.signum

    def __str__(self) -> str:
        return f"Stopped by {signal.Signals(self.signum).name}: {self.advice}."


class _State:
    watching = False
    ignoring = False
    received: int | None = None
    deferring = False
    raised: Interrupted | None = None


def _handle(signum: int, frame: object) -> None:
    if _State.received is not None:
        os._exit(128 + signum)
    _State.received = signum
    if not _State.deferring:
        _State.raised = Interrupted(signum)
        raise _State.raised


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Context in which SIGTERM and SIGINT raise `Interrupted`. Does nothing outside the main thread.

    A signal that the process was started to ignore, as a shell's background jobs are to ignore SIGINT, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    _State.watching, _State.received, _State.deferring, _State.raised = True, None, False, None
    install()
    try:
        yield
        check()
    except Exception:
        raise_again()
        raise
    finally:
        _State.watching, _State.received, _State.deferring, _State.raised = False, None, False, None
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore() -> None:
    """From now on this process ignores both signals, for one that reaches it as well and ends it in order."""
    _State.ignoring = True
    install()


def install() -> None:
    """Puts the handlers in place again, after a library has put others there.

    Does nothing outside `watched`, unless the process ignores signals.
    """
    if _State.ignoring:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    elif _State.watching:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _handle)


def requested() -> int | None:
    """The signal that was received; None if there was none."""
    return _State.received


def check() -> None:
    """Raises `Interrupted` if a signal was received."""
    if _State.received is not None:
        raise Interrupted(_State.received)


def raise_again() -> None:
    """Raises the `Interrupted` that a signal has raised before. It is called where an `Exception` is handled.

    `Interrupted` may strike between any two instructions. Code of others that then cleans up what it has half done may
    fail, and its error takes the place of `Interrupted`.
    """
    if _State.raised is not None:
        raise _State.raised


def handled() -> None:
    """Forgets the signal: it ended a command that runs until it is interrupted, in order and with status 0."""
    _State.received = _State.raised = None


def defer() -> None:
    """From now on a signal does not raise: the work asks `requested` at its safe points. `no_longer_defer` ends it."""
    _State.deferring = True


def no_longer_defer() -> None:
    """From now on a signal raises again. One that was received meanwhile does not: see `check`."""
    _State.deferring = False


@contextlib.contextmanager
def advising(advice: str) -> Iterator[None]:
    """Context in which an interruption says how the work is continued: `advice`, a clause."""
    try:
        yield
    except Interrupted as stopped:
        if stopped.advice == ADVICE:
            stopped.advice = advice
        raise
