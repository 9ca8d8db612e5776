"""Ends a command quietly when nobody reads its output any more, as in `python train.py --help | head`.

SIGPIPE keeps being ignored, as Python does: it would also end a viewer whose browser goes away.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
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
    """Context of a whole command: if the reader of its output goes away, it ends with status 141 and without a word."""
    out, err = _Stream(sys.stdout), _Stream(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):  # type: ignore[type-var]
        try:
            yield
        finally:
            out.flush()
            err.flush()
