"""Tables of metrics and charts of curves, for the page of one run and for that of several."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from hashhuman.evaluation.product import TITLES
from hashhuman.page.charts import Axes, axes_around
from hashhuman.report.record import Curve, Record

HEADLINES = {"psnr": "PSNR", "ssim": "SSIM", "lpips": "LPIPS"}  # the beginnings of the columns that are named first
UNITS = {"psnr": ", dB"}
REGIONS = {"box": "in the person's box", "fg": "on the person alone", "full": "of the whole picture"}
COLORS = 6  # of runs, in report.css
OVER = (
    '<p class="tools"><span>over</span> <label><input type="radio" name="over" value="steps" checked> steps</label> '
    '<label><input type="radio" name="over" value="seconds"> seconds of training</label></p>'
)


def title_of(split: str) -> str:
    """What a split is called."""
    return TITLES.get(split, split)


def headline(values: Mapping[str, Any]) -> list[str]:
    """The columns that say most: of each kind of metric that of the person's box, as README.md and docs/ state it.

    A column's name ends with its region. Without a box it is that of the person alone, and at last the whole picture.
    """
    found = []
    for kind in HEADLINES:
        mine = [column for column in values if column.startswith(kind) and values[column] is not None]
        mine = [column for column in mine if not column.endswith("_fitted")]
        if mine:
            found.append(min(mine, key=lambda column: (not column.endswith("_box"), not column.endswith("_fg"))))
    return found


def readable(column: str) -> str:
    """A column's name in words, with its unit: `psnr_box` is "PSNR in the person's box, dB".

    A column of another name than those of `HEADLINES` keeps it.
    """
    kind, *details = column.split("_")
    if kind not in HEADLINES:
        return column
    region = [REGIONS[details.pop()]] if details and details[-1] in REGIONS else []
    return " ".join([HEADLINES[kind], *(f"({detail})" for detail in details), *region]) + UNITS.get(kind, "")


Cell = str | tuple[str, str]  # text, or text and its class in report.css


def table(heads: Sequence[str], rows: Iterable[Sequence[Cell]], figures: int, sortable: bool = False) -> str:
    """A table of text.

    Args:
        heads: of the columns.
        rows: of the table; the first cell names the row.
        figures: how many columns after the first have numbers, which are aligned on the right.
        sortable: whether a click on a head sorts it.
    """

    def kind(column: int, more: str = "") -> str:
        names = f"{'figure' if 1 <= column <= figures else ''} {more}".strip()
        return f' class="{names}"' if names else ""

    def cell(column: int, content: Cell) -> str:
        text, more = (content, "") if isinstance(content, str) else content
        return f"<td{kind(column, more)}>{escape(text)}</td>"

    button = "<button>{}</button>" if sortable else "{}"
    top = "".join(f'<th scope="col"{kind(i)}>{button.format(escape(head))}</th>' for i, head in enumerate(heads))
    lines = []
    for name, *cells in rows:
        drawn = "".join(cell(i, content) for i, content in enumerate(cells, 1))
        lines.append(f'<tr><th scope="row">{escape(str(name))}</th>{drawn}</tr>')
    return (
        f'<div class="wide"><table class="metrics{" sortable" if sortable else ""}"><thead><tr>{top}</tr></thead>\n'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def curves(runs: Sequence[tuple[str, Record]]) -> str:
    """A chart of each logged value, with a curve for each run, over steps and, where it is known, over seconds.

    Args:
        runs: the name of each run, and the run.
    """
    names = list(dict.fromkeys(name for _, record in runs for name in record.curves))
    names.sort(key=lambda name: (not name.startswith("val/"), name != "train/loss", name))
    if not names:
        return "<p>No curves: they come from the csv log (logger=csv, or beside another as in logger=[csv,wandb]).</p>"
    timed = all(record.seconds(np.zeros(1)) is not None for _, record in runs if record.curves)
    charts, zero = [], []
    for name in names:
        if not any(record.curves[name].values.any() for _, record in runs if name in record.curves):
            zero.append(name)
            continue
        drawn = [(i, record, record.curves[name]) for i, (_, record) in enumerate(runs) if name in record.curves]
        steps = [(i, curve.steps, curve.values) for i, _, curve in drawn]
        views = {"steps": steps}
        if timed:
            views["seconds"] = [(i, _seconds(record, curve), curve.values) for i, record, curve in drawn]
        last = ", ".join(f"{curve.values[-1]:.4g}" for _, _, curve in drawn)
        svgs = "".join(f'<div data-over="{over}">{_chart(name, view)}</div>' for over, view in views.items())
        caption = f"<figcaption>{escape(name)} <small>last: {last}</small></figcaption>"
        charts.append(f"<figure>{caption}{svgs}</figure>")
    note = f"<p>Always 0: {escape(', '.join(zero))}.</p>" if zero else ""
    return f'{OVER if timed else ""}<div class="charts" data-shown="steps">{"".join(charts)}</div>{note}'


def _seconds(record: Record, curve: Curve) -> np.ndarray:
    seconds = record.seconds(curve.steps)
    assert seconds is not None
    return seconds


def _chart(name: str, lines: Sequence[tuple[int, np.ndarray, np.ndarray]]) -> str:
    """One chart; losses have a logarithmic axis. `lines`: index of the run, values to the right and upwards."""
    values = [(xs, ys) for _, xs, ys in lines]
    log = name.startswith("train/") and all((ys[np.isfinite(ys)] >= 0).all() for _, ys in values)
    axes: Axes | None = axes_around(name, values, log)
    if axes is None:
        return "<p>no number</p>"
    drawn = [axes.curve(xs, ys, f"stroke: var(--run-{i % COLORS})") for i, xs, ys in lines]
    return axes.svg(*axes.grid, *drawn)
