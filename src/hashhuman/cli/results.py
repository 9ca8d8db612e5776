"""The table at the end of a sweep: the metrics, seconds and status of every run."""

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

METRICS = "evaluation/**/metrics.json"
PAGE = 160  # width of the table in characters, if the output is not a terminal


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A finished run of a sweep.

    Args:
        overrides: the overrides on its command line.
        folder: its run folder.
        started: start time in seconds since the epoch.
        seconds: duration.
        failure: reason of its failure, as a sentence; None: it did not fail.
        device: the GPU that the launcher chose for it; None: it chose none.
        log: the file with its output; None: the output was printed in this process.
    """

    overrides: Sequence[str]
    folder: Path
    started: float
    seconds: float
    failure: str | None = None
    device: str | None = None
    log: Path | None = None


def with_result_checked(run: FinishedRun, result: str | None) -> FinishedRun:
    """Returns the run, marked as failed if its result is missing. A process may succeed and still leave no result.

    Args:
        run: the run.
        result: pattern of a file below the run folder that a successful run writes; None: there is none.
    """
    if run.failure is None and result is not None and not list(_fresh(run, result)):
        return dataclasses.replace(run, failure=f"it ended without its result, {run.folder / result}.")
    return run


def _fresh(run: FinishedRun, pattern: str) -> Iterator[Path]:
    """The files of a run that belong to it.

    They are not older than its start, with 2 s of tolerance for file systems' coarse clocks. Or the run has not failed
    and its manifest lists them: a job that is started again repeats nothing that is finished.
    """
    listed = set() if run.failure is not None else _listed(run.folder)
    for path in sorted(run.folder.glob(pattern)):
        if path.stat().st_mtime >= run.started - 2 or path in listed:
            yield path


def _listed(folder: Path) -> set[Path]:
    """The files of a finished run by its manifest (`training/manifest.py`, which would import PyTorch)."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return {folder / name for name in manifest["files"]} if manifest["evaluated"] is True else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def metrics_of(run: FinishedRun) -> dict[str, dict[str, int | float]]:
    """The mean metrics of a run: {split: {column: value}}. With several protocols, keys are "protocol split"."""
    reports = {}
    for path in _fresh(run, METRICS):
        report = _load(path)
        if report is not None:
            reports[path.parent.name] = report["splits"]
    several = len(reports) > 1
    return {
        f"{protocol} {split}" if several else split: split_report["mean"]
        for protocol, splits in reports.items()
        for split, split_report in splits.items()
        if split_report["mean"]
    }


def _load(path: Path) -> dict[str, Any] | None:
    """Loads a report; None if the file does not hold one, for example after the disk was full."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return report if all("mean" in split for split in report["splits"].values()) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def print_results(runs: Sequence[FinishedRun], names: Sequence[str]) -> None:
    """Prints the table with one row for each run and split.

    Args:
        runs: the runs.
        names: the overrides in which each run differs from the others.
    """
    metrics = [metrics_of(run) for run in runs]
    columns = list(dict.fromkeys(column for mine in metrics for means in mine.values() for column in means))
    with_split, with_gpu = bool(columns), any(run.device is not None for run in runs)
    table = Table(title="runs of the sweep")
    table.add_column("run", overflow="fold")
    if with_gpu:
        table.add_column("GPU")
    if with_split:
        table.add_column("split", no_wrap=True)
    for column in (*columns, "s"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("status", overflow="fold")
    for run, name, mine in zip(runs, names, metrics):
        for i, split in enumerate(mine or {"": {}}):
            first = i == 0
            cells = [name if first else ""]
            cells += [(run.device or "-") if first else ""] * with_gpu
            cells += [split] * with_split
            cells += [_number(mine.get(split, {}).get(column)) for column in columns]
            table.add_row(*cells, f"{run.seconds:.0f}" if first else "", _status(run) if first else "")
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else PAGE).print(table)


def _number(value: int | float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _status(run: FinishedRun) -> str:
    where = f" ({run.log})" if run.log is not None else ""
    return "done" if run.failure is None else f"failed: {run.failure}{where}"
