"""Progress: lines without a terminal, a bar in a terminal."""

import io

import pytest
from rich.console import Console

from hashhuman.io import progress
from hashhuman.io.progress import Bar, Lines, TaskLines, several


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def never() -> str:
    raise AssertionError("figures are asked for although nothing is said")


def test_a_line_when_a_tenth_is_done_and_a_second_has_passed(capsys):
    clock = Clock()
    lines = Lines("training", 3500, "steps", clock=clock)
    lines.update(400, never)  # more than a tenth, but at once
    clock.now += 1
    lines.update(400, lambda: "loss 0.012")
    assert capsys.readouterr().out == "training: 400/3500 steps, loss 0.012, 1 s\n"
    clock.now += 5
    lines.update(699, never)  # the same tenth
    lines.update(700)
    assert capsys.readouterr().out == "training: 700/3500 steps, 6 s\n"


def test_a_line_when_ten_seconds_have_passed(capsys):
    clock = Clock()
    lines = Lines("training", None, "steps", clock=clock)
    for done in range(1, 31):
        clock.now += 1
        lines.update(done)
    assert capsys.readouterr().out.splitlines() == [f"training: {n} steps, {n} s" for n in (10, 20, 30)]
    lines.update(30, never)
    clock.now += 20
    lines.update(30, never)  # nothing further is done
    assert capsys.readouterr().out == ""


def test_the_last_line_is_printed_once_and_not_after_an_error(capsys):
    clock = Clock()
    lines = Lines("views", 8, clock=clock)
    lines.update(8)
    lines.finish(8)
    lines.finish(8)
    assert capsys.readouterr().out == "views: 8/8, 0 s\n"
    Lines("views", 8, done=3, clock=clock).finish(3)  # begun and not gone on with
    lines.abandon()
    assert capsys.readouterr().out == ""


def test_track_yields_all_items_and_shows_them(capsys):
    assert list(progress.track("abc", "letters", unit="letters")) == ["a", "b", "c"]
    assert list(progress.track(iter(range(2)), "some", 2)) == [0, 1]
    assert list(progress.track([], "nothing")) == []
    assert [line.rpartition(",")[0] for line in capsys.readouterr().out.splitlines()] == [
        "letters: 3/3 letters", "some: 2/2",
    ]  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        for item in progress.track([1, 0], "fractions"):
            1 / item
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("terminal", "kind"), [(True, Bar), (False, Lines)])
def test_a_terminal_has_a_bar(monkeypatch, capsys, terminal, kind):
    monkeypatch.setattr(Console, "is_terminal", property(lambda _: terminal))
    shown = progress.progress("work", 4, "items")
    assert type(shown) is kind
    shown.update(2, lambda: "figure 7")
    if isinstance(shown, Bar):
        (task,) = shown.bar.tasks
        assert (task.completed, task.total, task.fields["figures"]) == (2, 4, "figure 7")
    shown.finish(4)
    shown.abandon()
    capsys.readouterr()


def test_tasks_of_a_stage_print_a_line_every_ten_seconds():
    console, clock = Console(file=io.StringIO(), width=20), Clock()
    assert isinstance(several(console), TaskLines)
    with TaskLines(console, clock) as shown:
        for _ in shown.track(range(30), description="[pose] of the person"):
            clock.now += 1
        task = shown.add_task("decoding", total=None)
        shown.update(task, completed=7)
        clock.now += 10
        shown.update(task, completed=9)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "[pose] of the person: 10/30, 10 s", "[pose] of the person: 20/30, 20 s", "[pose] of the person: 30/30, 30 s",
        "decoding: 9, 10 s",
    ]  # fmt: skip


def test_a_task_that_counts_nothing_for_long_is_named():
    console, clock = Console(file=io.StringIO()), Clock()
    shown = TaskLines(console, clock)
    shown.add_task("body_fit", total=None)
    shown.remind()  # too soon
    clock.now += 20
    shown.remind()
    task = shown.add_task("fitting", total=600)
    clock.now += 10
    shown.remind()
    shown.update(task, completed=600)
    clock.now += 10
    shown.remind()  # what is finished is not waited for
    shown.stop()
    clock.now += 10
    shown.remind()
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == ["body_fit: 20 s", "fitting: 0/600, 10 s", "body_fit: 40 s"]


def test_outside_a_terminal_tasks_are_watched_until_their_end():
    with TaskLines(Console(file=io.StringIO())) as shown:
        watcher = shown.watcher
        assert watcher is not None and watcher.is_alive()
    assert not watcher.is_alive()
