"""Shows the progress of long tasks: as a bar in a terminal, as occasional lines elsewhere."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, Protocol, TypeVar, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

T = TypeVar("T")
Figures = Callable[[], str]  # text beside the count; called only when it is shown, since it may wait for a GPU

SHORTEST, LONGEST = 1.0, 10.0  # the least and the most seconds between two lines


@runtime_checkable
class Progress(Protocol):
    """The progress of one task."""

    def update(self, done: int, figures: Figures | None = None) -> None:
        """Shows that `done` items are done, with `figures` beside the count, unless the display is recent enough."""
        ...

    def finish(self, done: int, figures: Figures | None = None) -> None:
        """Shows the last state, in which `done` items are done."""
        ...

    def abandon(self) -> None:
        """Ends the display without a last state, after an error."""
        ...


class Bar:
    """A progress bar in a terminal.

    Args:
        title: the task's title.
        total: number of items; None if unknown.
        done: number of items that are done already.
        keep: whether the bar stays when the task is finished.
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
        """Stops drawing."""
        self.bar.stop()


class Lines:
    """Lines such as `training: 500/3500 steps, loss 0.012, 14 s`.

    A line is printed when another tenth of the items is done and at least `SHORTEST` seconds have passed since the last
    line, when `LONGEST` seconds have passed, and at the end.

    Args:
        title: the task's title.
        total: number of items; None if unknown.
        unit: name of the items, in the plural; may be empty.
        done: number of items that are done already.
        clock: returns seconds from any origin.
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
        self.shown = done
        self.started = self.shown_at = clock()

    def update(self, done: int, figures: Figures | None = None) -> None:
        """Prints a line if one is due."""
        passed = self.clock() - self.shown_at
        if passed >= LONGEST or (passed >= SHORTEST and self._tenths(done) > self._tenths(self.shown)):
            self.finish(done, figures)

    def finish(self, done: int, figures: Figures | None = None) -> None:
        """Prints a line, unless the last one showed the same count."""
        if done == self.shown:
            return
        self.shown, self.shown_at = done, self.clock()
        count = f"{done}/{self.total}" if self.total else f"{done}"
        words = [f"{count} {self.unit}".strip(), figures() if figures else "", f"{self.shown_at - self.started:.0f} s"]
        print(f"{self.title}: {', '.join(filter(None, words))}", flush=True)

    def abandon(self) -> None:
        """Prints nothing."""

    def _tenths(self, done: int) -> int:
        return 10 * done // self.total if self.total else 0


def progress(title: str, total: int | None, unit: str = "", done: int = 0, keep: bool = False) -> Progress:
    """Starts the display of a task's progress: a `Bar` in a terminal, `Lines` elsewhere.

    Args:
        title: the task's title.
        total: number of items; None if unknown.
        unit: name of the items, in the plural; shown in lines only.
        done: number of items that are done already.
        keep: whether a bar stays when the task is finished.
    """
    return Bar(title, total, done, keep) if Console().is_terminal else Lines(title, total, unit, done)


class TaskLines(RichProgress):
    """Rich's progress of several tasks where there is no terminal: lines such as `pose: 120/3000, 34 s`.

    A line is printed when `LONGEST` seconds have passed since the last one, so that short tasks print none. Within a
    `with`, a task that does not count for so long is named as well, so that nobody waits without a word.

    Args:
        console: to print to.
        clock: returns seconds from any origin.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console=console, auto_refresh=False, disable=True, get_time=clock)
        self.shown_at = clock()
        self.stopped = threading.Event()
        self.watcher: threading.Thread | None = None

    def start(self) -> None:
        """Begins to look once a second whether a line is due."""
        self.stopped.clear()
        self.watcher = threading.Thread(target=self._watch, daemon=True)
        self.watcher.start()

    def stop(self) -> None:
        """Ends that."""
        self.stopped.set()
        if self.watcher is not None:
            self.watcher.join()  # so that no line follows

    def remind(self) -> None:
        """Prints a line about the newest task that is not finished, if one is due."""
        with self._lock:
            waiting = [task.id for task in self.tasks if not task.finished]
            if waiting and not self.stopped.is_set():
                self._show(waiting[-1])

    def advance(self, task_id: TaskID, advance: int | float = 1) -> None:
        """Counts, and prints a line if one is due."""
        super().advance(task_id, advance)
        self._show(task_id)

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Changes the task, and prints a line if one is due."""
        super().update(task_id, **changes)
        self._show(task_id)

    def _watch(self) -> None:
        while not self.stopped.wait(1):
            self.remind()

    def _show(self, task_id: TaskID) -> None:
        with self._lock:
            now = self.get_time()
            if now - self.shown_at < LONGEST:
                return
            self.shown_at = now
            task = self._tasks[task_id]
            count = f"{task.completed:.0f}" if task.completed else ""
            count = f"{task.completed:.0f}/{task.total:.0f}" if task.total else count
            figures = ", ".join(filter(None, [count, f"{task.elapsed or 0:.0f} s"]))
            self.console.print(f"{task.description}: {figures}", markup=False, highlight=False, soft_wrap=True)


def several(console: Console) -> RichProgress:
    """The progress of several tasks, to be used in a `with`: bars in a terminal, `TaskLines` elsewhere."""
    if not console.is_terminal:
        return TaskLines(console)
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return RichProgress(*columns, console=console, transient=True)


def track(items: Iterable[T], title: str, total: int | None = None, unit: str = "") -> Iterator[T]:
    """Yields the items and shows how many of them the caller has processed.

    Args:
        items: the items.
        title: the task's title.
        total: number of items, if `items` has no length; None if unknown.
        unit: name of the items, in the plural.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    shown, done = progress(title, total, unit), 0
    try:
        for done, item in enumerate(items, 1):
            yield item
            shown.update(done)
    except BaseException:  # also when the caller stops early
        shown.abandon()
        raise
    shown.finish(done)
