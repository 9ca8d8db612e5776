"""The program `python -m hashhuman.compare`: a printed table and a page of several runs."""

import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from hashhuman.errors import UserError

WIDTH = 160  # of the table in characters, if the output is not a terminal


def compare(config: DictConfig) -> None:
    """Compares the runs of a config (`conf/compare.yaml`), and prints the page's path.

    Raises:
        UserError: if they cannot be compared, or the page cannot be written.
    """
    from hashhuman.compare.matching import matched  # only after Hydra has checked the command line: it takes seconds
    from hashhuman.compare.page import compare_page
    from hashhuman.io.files import atomic_path

    paths = [config.runs] if isinstance(config.runs, str) else list(config.runs)
    out = Path(config.out).expanduser()
    if out.suffix != ".html":
        raise UserError(f"out={out} must be an .html file.")
    found = matched([Path(str(path)).expanduser() for path in paths])
    page = compare_page(found, int(1e6 * config.megabytes))
    _print(found)
    with atomic_path(out) as path:
        path.write_text(page, encoding="utf-8")
    print(f"page: {out}", flush=True)


def _print(found: Any) -> None:
    """The mean metrics of each run over the common pictures, with their differences from those of the first."""
    from rich.console import Console
    from rich.table import Table

    from hashhuman.compare.page import difference
    from hashhuman.evaluation.table import number
    from hashhuman.report.figures import title_of

    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    for split, names in found.common.items():
        table = Table(title=f"{title_of(split)}, means over {len(names)} common pictures")
        table.add_column(found.records[0].metrics["protocol"])
        for name in found.names:
            table.add_column(name, justify="right", overflow="fold")
        for column, (first, *others) in found.means(split).items():
            cells = [f"{number(column, value)} ({difference(column, value - first)})" for value in others]
            table.add_row(column, number(column, first), *cells)
        console.print(table)
    for note in found.notes:
        console.print(note, soft_wrap=True)
