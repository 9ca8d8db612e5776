"""Stops a stage in its middle, as a signal does."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


class Stopped(BaseException):
    """Stands for an interruption."""


class Strike:
    """Counts the calls of a function, and raises `Stopped` in the call with the number `at`, from 1; once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, at: int | None = None) -> None:
        self.at, self.calls, self.asleep = at, 0, False
        function: Callable[..., Any] = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self.at and not self.asleep:
                raise Stopped
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Context in which nothing is raised. Calls are counted anew afterwards."""
        self.asleep = True
        yield
        self.asleep, self.calls = False, 0


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a subject folder, without the times in its stamps."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.parent.name != "stages")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
