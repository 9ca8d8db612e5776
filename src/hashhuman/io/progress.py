"""A progress bar where there is a terminal, silence where there is none."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import rich.progress
from rich.console import Console

T = TypeVar("T")


def track(items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
    """Yields the items behind a bar that vanishes at the end; `total` where they have no length."""
    silent = not Console().is_terminal
    yield from rich.progress.track(items, title, total=total, transient=True, disable=silent)
