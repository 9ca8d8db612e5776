"""Ends a command quietly when nobody reads its output any more, as in `python train.py --help | head`.

SIGPIPE keeps being ignored, as Python does: it would also end a viewer whose browser goes away.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

STATUS = 128 + signal.SIGPIPE  # what a shell shows for a program that SIGPIPE has ended


class _Stream:
    """A text stream that ends the command when its reader has gone. Everything else is the stream's own."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Writes."""
        with self._ending():
            return self.stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes lines."""
        with self._ending():
            self.stream.writelines(lines)

    def flush(self) -> None:
        """Flushes."""
        with self._ending():
            self.stream.flush()

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            if threading.current_thread() is threading.main_thread():  # another thread ends alone
                nowhere = os.open(os.devnull, os.O_WRONLY)  # for what is still buffered, and what is said at the end
                os.dup2(nowhere, self.stream.fileno())
                os.close(nowhere)
            raise SystemExit(STATUS) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def ends_quietly() -> Iterator[None]:
    """Context of a whole command: if the reader of its output goes away, it ends with status 141 and without a word.

    A command that fails for another reason keeps its own status and its message, whoever reads them.
    """
    with contextlib.ExitStack() as redirections:
        guarded = []
        for redirect, stream in ((contextlib.redirect_stdout, sys.stdout), (contextlib.redirect_stderr, sys.stderr)):
            if stream is not None:  # None: it was closed before the command began
                guarded.append(_Stream(stream))
                redirections.enter_context(redirect(guarded[-1]))  # type: ignore[type-var]
        try:
            yield
        except BaseException as ending:
            failed = not (isinstance(ending, SystemExit) and ending.code in (None, 0))
            for stream in guarded:
                with contextlib.suppress(SystemExit, OSError) if failed else contextlib.nullcontext():
                    stream.flush()
            raise
        for stream in guarded:
            stream.flush()
