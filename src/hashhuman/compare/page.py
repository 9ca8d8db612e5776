"""The page of several runs: metrics and their differences, curves, pictures, settings that differ, timings."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from hashhuman.compare.matching import Matched, better
from hashhuman.evaluation.table import number
from hashhuman.page.document import POLICY, document, folded, section
from hashhuman.report import figures
from hashhuman.report.embedding import Embedding
from hashhuman.report.figures import Cell, title_of
from hashhuman.report.page import SCRIPT, STYLE, timings
from hashhuman.report.pictures import Pictures, around, crop_style, image_style, layers, moving

OWN_SCRIPT = Path(__file__).with_name("compare.js")
OWN_STYLE = Path(__file__).with_name("compare.css")
NONE = "-"


def compare_page(found: Matched, limit: int) -> str:
    """The page as HTML5, in which nothing is asked of any server.

    Args:
        found: the runs.
        limit: the most bytes that the page may have.

    Raises:
        UserError: if a picture cannot be decoded.
    """
    style = STYLE.read_text(encoding="utf-8") + OWN_STYLE.read_text(encoding="utf-8")
    script = SCRIPT.read_text(encoding="utf-8") + OWN_SCRIPT.read_text(encoding="utf-8")
    means = {split: _means(found, split) for split in found.common}
    charts = _legend(found) + figures.curves(list(zip(found.names, found.records)))
    settings, times = _settings(found), _timings(found)
    text = style + script + "".join(means.values()) + charts + settings + times
    embedding = Embedding(limit, text)
    metrics = "".join(text + _every_picture(found, split, embedding) for split, text in means.items())
    pictures = _pictures(found, embedding)
    turning = _videos(found, embedding)
    body = (
        _header(found)
        + section("Metrics", metrics)
        + section("Pictures", pictures)
        + section("Training", charts)
        + section("From all sides", turning)
        + section("Settings that differ", settings)
        + section("Time and machine", times)
        + embedding.footer
    )
    return document(f"{', '.join(found.names)}: comparison", body, style, script, POLICY)


def difference(column: str, value: float) -> str:
    """A difference of a metric as text, with its sign."""
    text = number(column, abs(value))
    return text if not float(text) else f"{'+' if value > 0 else '−'}{text}"


def _header(found: Matched) -> str:
    subject = found.records[0].subject
    notes = "".join(f"<p>{escape(note)}</p>" for note in found.notes)
    notes = f'<div class="notes">{notes}</div>' if notes else ""
    measured = f"measured as {found.records[0].metrics['protocol']}"
    return (
        f"<header><h1>{escape(f'{subject}: ' if subject else '')}{len(found.names)} runs</h1>{_legend(found)}"
        f"<p>{escape(measured)}; the others are compared with the first</p>{notes}</header>\n"
    )


def _legend(found: Matched) -> str:
    items = "".join(f"<li><i{_color(i)}></i>{escape(name)}</li>" for i, name in enumerate(found.names))
    return f'<ul class="legend">{items}</ul>'


def _color(run: int) -> str:
    return f' style="--mine: var(--run-{run % figures.COLORS})"'


def _heads(found: Matched) -> list[str]:
    """Of the columns of figures: the first run, then each other one and its difference."""
    return [found.names[0], *(head for name in found.names[1:] for head in (name, "difference"))]


def _means(found: Matched, split: str) -> str:
    """The mean metrics of a split."""
    rows: list[list[Cell]] = []
    for column, values in found.means(split).items():
        meaning = str(found.columns.get(column, "time of a picture, on the machine that measured"))
        rows.append([column, *_with_differences(column, values), meaning])
    names = _heads(found)
    means = figures.table(["", *names, "what it is"], rows, figures=len(names))
    title = f"<h3>{escape(title_of(split))}, means over {len(found.common[split])} common pictures</h3>"
    return title + means


def _every_picture(found: Matched, split: str, embedding: Embedding) -> str:
    """The metrics of each common picture, in folds."""
    folds, names = [], _heads(found)
    for column in figures.headline(found.means(split)):
        pictures = zip(found.common[split], zip(*found.values(split, column)))
        rows = [[picture, *_with_differences(column, values)] for picture, values in pictures]
        table = figures.table(["picture", *names], rows, figures=len(names), sortable=True)
        title = f"{column}, picture by picture"
        fold = folded(title, "a click on a head sorts", table)
        source = found.records[0].evaluation / "metrics.json"
        folds.append(embedding.text(f"{split} {title}", source, fold))
    return "".join(folds)


def _with_differences(column: str, values: Sequence[float]) -> list[Cell]:
    """The first run's value of a metric; then each other run's, and its difference from the first."""
    first, *others = values
    return [
        number(column, first),
        *(cell for v in others for cell in (number(column, v), _difference(column, v - first))),
    ]


def _difference(column: str, value: float) -> Cell:
    text = difference(column, value)
    good = better(column, value) if text[0] in "+−" else None  # what rounds to 0 is no difference
    return text, {True: "ok", False: "bad", None: ""}[good]


def _pictures(found: Matched, embedding: Embedding) -> str:
    """Each common picture: truth and all renders in a row, and a slider between any two of them."""
    rows = [_row(found, pictures, embedding) for pictures in found.pictures]
    if not any(rows):
        return "<p>The runs have kept no picture in common (eval.products.report.pictures).</p>"
    options = ["truth", *found.names]
    left, right = (
        "".join(
            f'<option value="{i}"{" selected" if i == chosen else ""}>{escape(name)}</option>'
            for i, name in enumerate(options)
        )
        for chosen in (1, 2)
    )
    tools = (
        f'<p class="tools"><label>left: <select id="left-picture">{left}</select></label> <label>right: '
        f'<select id="right-picture">{right}</select></label> <label><input type="checkbox" id="errors"> '
        'errors</label> <small class="scale">no error <i></i> a quarter of the range or more</small></p>'
    )
    return tools + "".join(rows)


def _row(found: Matched, pictures: list[Pictures], embedding: Embedding) -> str:
    first, box = pictures[0], around([each.box for each in pictures])
    where = f"{first.split} {first.name}"
    truth = f"{where}, truth"
    renders = [f"{where}, render of {name}" for name in found.names]  # a run may be called "truth"
    errors = [f"{where}, error of {name}" for name in found.names]

    def files(labels: list[str], kind: str) -> dict[str, Path]:
        made = zip(labels, found.records, pictures)
        return {label: record.evaluation / each.path(kind) for label, record, each in made}

    urls = embedding.urls({truth: found.records[0].evaluation / first.path("truth")} | files(renders, "render"))
    if not urls:
        return ""
    wrong = embedding.urls(files(errors, "error"))
    style, crop = image_style(first.size, box), crop_style(box)
    column = next(iter(figures.headline(found.means(first.split))), None)
    values = found.values(first.split, column) if column else []
    place = found.common[first.split].index(first.name)
    shown = [_cell("truth", urls[truth], None, crop, style, "")]
    for i, name in enumerate(found.names):
        words = f"{column} {number(column, values[i][place])}" if column else ""
        shown.append(_cell(name, urls[renders[i]], wrong.get(errors[i]), crop, style, words, _color(i)))
    # compare.js gives these their sources.
    under, over = (f'<img alt="{side}" style="{style}">' for side in ("right", "left"))
    caption = f"<figcaption>{escape(first.name)} <small>{escape(title_of(first.split))}</small></figcaption>"
    between = layers(under, over, box, f"between two pictures of {where}")
    return f'<div class="row"><figure class="between">{between}{caption}</figure>{"".join(shown)}</div>'


def _cell(name: str, url: str, error: str | None, crop: str, style: str, words: str, color: str = "") -> str:
    alt = escape(name, quote=True)
    drawn = f'<img class="plain" src="{url}" alt="{alt}" style="{style}">'
    if error:
        drawn += f'<img class="error" src="{error}" alt="error of {alt}" style="{style}" hidden>'
    dot = f"<i{color}></i>" if color else ""
    return (
        f'<figure class="cell"><div class="crop" style="{crop}">{drawn}</div><figcaption>{dot}{escape(name)} '
        f"<small>{escape(words)}</small></figcaption></figure>"
    )


def _videos(found: Matched, embedding: Embedding) -> str:
    """The videos of all runs, one beside the other."""
    shown = []
    for name in dict.fromkeys(name for record in found.records for name in record.shown.get("videos", {})):
        cells = []
        for i, (run, record) in enumerate(zip(found.names, found.records)):
            path = record.shown.get("videos", {}).get(name)
            url = embedding.url(f"{name} of {run}", record.evaluation / path) if path else None
            if url is None:
                continue
            words = f"<figcaption><i{_color(i)}></i>{escape(run)} <small>{escape(name)}</small></figcaption>"
            cells.append(f"<figure>{moving(name, url, Path(path).suffix)}{words}</figure>")
        if cells:
            shown.append(f'<div class="views">{"".join(cells)}</div>')
    return "".join(shown)


def _settings(found: Matched) -> str:
    rows = [
        [option, *(NONE if value is ... else json.dumps(value, ensure_ascii=False) for value in values)]
        for option, values in found.differences.items()
    ]
    if not rows:
        return "<p>None: the runs have the same config.</p>"
    return figures.table(["option", *found.names], rows, figures=0)


def _timings(found: Matched) -> str:
    """Timings, and what differs between the machines and the code."""
    times = [timings(record) for record in found.records]
    rows = [
        [key, *(mine.get(key, NONE) for mine in times)] for key in dict.fromkeys(key for mine in times for key in mine)
    ]
    with_commit = [{"commit": (r.revision or "unknown")[:12]} | r.shown.get("environment", {}) for r in found.records]
    for key in dict.fromkeys(key for mine in with_commit for key in mine):
        values = [str(mine.get(key, NONE)) for mine in with_commit]
        if key == "commit" or len(set(values)) > 1:
            rows.append([key, *values])
    return figures.table(["", *found.names], rows, figures=0)
