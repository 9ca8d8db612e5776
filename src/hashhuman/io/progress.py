"""Progress of long work: a bar where the output is a terminal, a line now and then where it is none."""

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Protocol, TypeVar, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

T = TypeVar("T")
Figures = Callable[[], str]  # what to say beside the count; called only when it is shown, since it may wait for a GPU

SHORTEST, LONGEST = 1.0, 10.0  # seconds between two lines: at least, even if much is done; at most, even if little is


@runtime_checkable
class Progress(Protocol):
    """One piece of work, as far as it is done."""

    def update(self, done: int, figures: Figures | None = None) -> None:
        """Says, if it is time to, that `done` items are done; `figures` are said beside the count."""
        ...

    def finish(self, done: int, figures: Figures | None = None) -> None:
        """Says the last state, in which `done` items are done."""
        ...

    def abandon(self) -> None:
        """Ends without a word, after an error."""
        ...


class Bar:
    """A bar in a terminal.

    Args:
        title: of the work.
        total: items of it; None if unknown.
        done: items that are done already.
        keep: whether the bar stays when the work is finished.
    """

    def __init__(self, title: str, total: int | None, done: int = 0, keep: bool = False) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        times = TimeElapsedColumn(), TimeRemainingColumn()
        self.bar = RichProgress(*columns, *times, TextColumn("{task.fields[figures]}"), transient=not keep)
        self.task = self.bar.add_task(title, total=total, completed=done, figures="")
        self.bar.start()

    def update(self, done: int, figures: Figures | None = None) -> None:
        """Moves the bar."""
        self.bar.update(self.task, completed=done)
        if figures is not None:
            self.bar.update(self.task, figures=figures())

    def finish(self, done: int, figures: Figures | None = None) -> None:
        """Removes the bar, or leaves it in its last state."""
        self.update(done, figures)
        self.bar.stop()

    def abandon(self) -> None:
        """Gives the terminal back."""
        self.bar.stop()


class Lines:
    """Lines such as `training: 500/3500 steps, loss 0.012, 14 s`.

    There is a line when a further tenth of the work is done and `SHORTEST` has passed since the line before, or when
    `LONGEST` has passed; and one at the end.

    Args:
        title: of the work.
        total: items of it; None if unknown.
        unit: what the items are, in the plural; may be empty.
        done: items that are done already.
        clock: seconds from any moment on.
    """

    def __init__(
        self,
        title: str,
        total: int | None,
        unit: str = "",
        done: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.title, self.total, self.unit, self.clock = title, total, unit, clock
        self.said = done
        self.started = self.said_at = clock()

    def update(self, done: int, figures: Figures | None = None) -> None:
        """Prints a line if it is time for one."""
        passed = self.clock() - self.said_at
        if passed >= LONGEST or (passed >= SHORTEST and self._tenths(done) > self._tenths(self.said)):
            self.finish(done, figures)

    def finish(self, done: int, figures: Figures | None = None) -> None:
        """Prints a line, unless the one before said as much."""
        if done == self.said:
            return
        self.said, self.said_at = done, self.clock()
        count = f"{done}/{self.total}" if self.total else f"{done}"
        words = [f"{count} {self.unit}".strip(), figures() if figures else "", f"{self.said_at - self.started:.0f} s"]
        print(f"{self.title}: {', '.join(filter(None, words))}", flush=True)

    def abandon(self) -> None:
        """Prints nothing."""

    def _tenths(self, done: int) -> int:
        return 10 * done // self.total if self.total else 0


def progress(title: str, total: int | None, unit: str = "", done: int = 0, keep: bool = False) -> Progress:
    """Shows the progress of a piece of work: a `Bar` in a terminal, `Lines` elsewhere.

    Args:
        title: of the work.
        total: items of it; None if unknown.
        unit: what the items are, in the plural; said in lines.
        done: items that are done already.
        keep: whether a bar stays when the work is finished.
    """
    return Bar(title, total, done, keep) if Console().is_terminal else Lines(title, total, unit, done)


def track(items: Iterable[T], title: str, total: int | None = None, unit: str = "") -> Iterator[T]:
    """Yields the items and shows how many of them the caller is done with.

    Args:
        items: anything.
        title: of the work.
        total: how many items there are, where they have no length.
        unit: what they are, in the plural.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    shown, done = progress(title, total, unit), 0
    try:
        for done, item in enumerate(items, 1):
            yield item
            shown.update(done)
    except BaseException:  # also if the caller takes no more
        shown.abandon()
        raise
    shown.finish(done)
