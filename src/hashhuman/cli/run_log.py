"""The file of what a job of a sweep prints, `run.log` in its folder, with every launcher."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

RUN_LOG = "run.log"


class _Copying:
    """A text stream that also writes to a file. Everything else is the stream's own."""

    def __init__(self, stream: TextIO, file: TextIO) -> None:
        self.stream, self.file = stream, file

    def write(self, text: str) -> int:
        """Writes to both."""
        self.file.write(text)
        return self.stream.write(text)

    def flush(self) -> None:
        """Flushes both."""
        self.file.flush()
        self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def copied_to(path: Path) -> Iterator[None]:
    """Context in which what this process prints is also written to a file, whose earlier content is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", errors="replace") as file:
        out, err = _Copying(sys.stdout, file), _Copying(sys.stderr, file)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):  # type: ignore[type-var]
            yield
