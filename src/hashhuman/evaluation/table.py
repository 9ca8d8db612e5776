"""The metrics of an evaluation as `metrics.json` for programs, and as `table.md` and a printed table for people."""

from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from hashhuman.evaluation.product import TITLES, Evaluation, Made, Product
from hashhuman.io.files import atomic_path, save_json

UNSEEN = (
    "{:.0%} of the body's whole surface, by area, was seen in no training picture; this counts the soles, and what "
    "limbs hide. Captions under pictures count only the surface that their picture shows, so that they are often lower."
)
FILES = {"metrics": "metrics.json", "table": "table.md"}


class Table(Product):
    """Prints the mean metrics of every split, and writes them to `table.md` and the whole report to `metrics.json`."""

    def make(self, evaluation: Evaluation) -> Made:
        """Prints and writes the metrics."""
        if evaluation.report["splits"]:
            _print(evaluation.report)
        self._write(evaluation)
        return Made({name: evaluation.folder / file for name, file in FILES.items()})

    def finish(self, evaluation: Evaluation) -> None:
        """Writes both files again, with the report entries of other products."""
        self._write(evaluation)

    def _write(self, evaluation: Evaluation) -> None:
        save_json(evaluation.folder / FILES["metrics"], evaluation.report)
        with atomic_path(evaluation.folder / FILES["table"]) as path:
            path.write_text(markdown_table(evaluation.report))


def markdown_table(report: dict[str, Any]) -> str:
    """A markdown table with the means of every split and the description of each metric."""
    heads, rows = _cells(report)
    lines = ["| " + " | ".join(cells) + " |" for cells in ([*heads, "what it is"], ["---"] * (len(heads) + 1))]
    for (column, *cells), meaning in zip(rows, report["columns"].values()):
        lines.append("| " + " | ".join([f"`{column}`", *cells, meaning]) + " |")
    lines += ["", f"Protocol {report['protocol']}, on {report['device']}."]
    if "unseen" in report:
        lines += [UNSEEN.format(report["unseen"]["surface"])]
    return "\n".join(lines) + "\n"


def number(column: str, value: int | float | None) -> str:
    """A value of a metric as text, with as many digits as its column has; "-" for None."""
    if value is None:
        return "-"
    digits = 2 if column.startswith("psnr") else 0 if column.endswith("_ms") else 4
    return f"{value:.{digits}f}"


def _cells(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads (the splits with their numbers of pictures), and one row for each metric."""
    splits = report["splits"]
    heads = [report["protocol"], *(f"{TITLES[name]} ({split['pictures']})" for name, split in splits.items())]
    rows = []
    for column in report["columns"]:
        rows.append([column, *(number(column, split["mean"].get(column)) for split in splits.values())])
    return heads, rows


def _print(report: dict[str, Any]) -> None:
    heads, rows = _cells(report)
    table = RichTable(title=f"means, on {report['device']}")
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
