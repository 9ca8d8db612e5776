"""The table of whole commands and second runs."""

from pathlib import Path

from benchmarks import second_run
from benchmarks.whole import Finished


def row(build: str, seconds: float, peak: float | None) -> dict:
    about = {"build": build, "command": "video=x", "changed": "a=1", "machine": "2 cores"}
    return about | {"figures": {"whole command (s)": seconds, "GPU (MiB)": peak}}


def test_medians_of_each_checkout():
    rows = [row("new", 1, 5), row("new", 2, 7), row("new", 9, 6), row("old", 30, None)]
    lines = second_run.page(rows, ["new", "old"]).splitlines()
    assert "| whole command (s) | 2.00 | 30.00 |" in lines and "| GPU (MiB) | 6.00 | - |" in lines
    assert "medians of 1 runs" in lines[0]


def test_the_wait_for_the_first_step_counts_from_the_typed_command():
    run = Finished(100.0, 160.0, {"first_step": 104.5}, 1.0, None, Path())
    assert second_run.to_first_step(run) == 4.5
