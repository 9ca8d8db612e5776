"""The table at the end of a sweep: every run with its metrics, seconds and, if it failed, the reason."""

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

METRICS = "evaluation/**/metrics.json"
PAGE = 160  # columns, where there is no terminal that says how many there are


@dataclasses.dataclass(frozen=True)
class Ended:
    """A run of a sweep that has ended.

    Args:
        overrides: all that its command line says.
        folder: its run folder.
        started: when, in seconds since the epoch.
        seconds: how long it took.
        failure: why it failed, as a sentence; None: it did not.
        device: the GPU that it had to itself, if that was chosen for it.
        log: the file that has all that it printed; None: it was printed here.
    """

    overrides: Sequence[str]
    folder: Path
    started: float
    seconds: float
    failure: str | None = None
    device: str | None = None
    log: Path | None = None


def judged(ended: Ended, result: str | None) -> Ended:
    """The same run, failed if it did not leave its result: a process may end well and leave nothing.

    Args:
        result: a pattern of a file below the run folder that a good run has written; None: runs leave nothing there.
    """
    if ended.failure is None and result is not None and not list(_fresh(ended, result)):
        return dataclasses.replace(ended, failure=f"it ended without its result, {ended.folder / result}.")
    return ended


def _fresh(ended: Ended, pattern: str) -> Iterator[Path]:
    """Files of a run that are not older than it. Two seconds are allowed for coarse clocks of file systems."""
    for path in sorted(ended.folder.glob(pattern)):
        if path.stat().st_mtime >= ended.started - 2:
            yield path


def metrics_of(ended: Ended) -> dict[str, dict[str, int | float]]:
    """The means of a run's evaluations: {split: {column: value}}; with several protocols, {"protocol split": ...}."""
    reports = {}
    for path in _fresh(ended, METRICS):
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
    """A report; None where the file holds none, as after a full disk."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return report if all("mean" in split for split in report["splits"].values()) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def print_results(runs: Sequence[Ended], names: Sequence[str]) -> None:
    """Prints one row for each run and split.

    Args:
        names: what sets each run apart.
    """
    metrics = [metrics_of(ended) for ended in runs]
    columns = list(dict.fromkeys(column for mine in metrics for means in mine.values() for column in means))
    with_split, with_gpu = bool(columns), any(ended.device is not None for ended in runs)
    table = Table(title="runs of the sweep")
    table.add_column("run", overflow="fold")
    if with_gpu:
        table.add_column("GPU")
    if with_split:
        table.add_column("split", no_wrap=True)
    for column in (*columns, "s"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("status", overflow="fold")
    for ended, name, mine in zip(runs, names, metrics):
        for i, split in enumerate(mine or {"": {}}):
            first = i == 0
            cells = [name if first else ""]
            cells += [(ended.device or "-") if first else ""] * with_gpu
            cells += [split] * with_split
            cells += [_number(mine.get(split, {}).get(column)) for column in columns]
            table.add_row(*cells, f"{ended.seconds:.0f}" if first else "", _status(ended) if first else "")
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else PAGE).print(table)


def _number(value: int | float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _status(ended: Ended) -> str:
    where = f" ({ended.log})" if ended.log is not None else ""
    return "done" if ended.failure is None else f"failed: {ended.failure}{where}"
