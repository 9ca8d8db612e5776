"""`report.html` of a run: what came out, how, and from what, on one page that asks nothing of any server."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from hashhuman.evaluation.table import UNSEEN, number
from hashhuman.page.document import POLICY, badge, document, findings_table, folded, key_table, section
from hashhuman.report import figures
from hashhuman.report.embedding import Embedding
from hashhuman.report.pictures import KINDS, Pictures, aspect, moving, slider
from hashhuman.report.record import Record

HERE = Path(__file__).parent
STYLE, SCRIPT = HERE / "report.css", HERE / "report.js"
AVATAR = "export/avatar.html"  # in the folder of the evaluation, or of the run
TIMINGS = {  # key of timing.json: what it is
    "setup_s": "preparing (data, kernels, bodies)",
    "train_s": "training",
    "validation_s": "validation",
    "checkpoint_s": "checkpoints",
}
Findings = Sequence[tuple[str, str, str, str]]


def run_page(record: Record, findings: Findings | None, limit: int) -> str:
    """The page as HTML5.

    Args:
        record: the run and its evaluation.
        findings: of preprocessing (`Subject.findings`).
        limit: the most bytes that the page may have.

    Raises:
        UserError: if a picture cannot be decoded.
    """
    charts = figures.curves([(record.name, record)])
    config = _config(record)
    means = _means(record.metrics)
    style, script = STYLE.read_text(encoding="utf-8"), SCRIPT.read_text(encoding="utf-8")
    embedding = Embedding(limit, charts + config + means + style + script)
    tables = means + _every_picture(record, embedding)
    compared = _comparisons(record, embedding)
    turning = _videos(record, embedding)
    sheets = _images(record, embedding)
    avatar = _avatar(record, embedding)
    time, machine = key_table(timings(record)), key_table(record.shown.get("environment", {}))
    body = (
        _header(record)
        + section("The avatar", f'<div class="views">{turning}{avatar}</div>' if turning or avatar else "")
        + section("Against the truth", compared)
        + section("Metrics", tables)
        + section("Training", charts)
        + section("Further pictures", sheets)
        + section("The input", _input(findings))
        + section("Time and machine", f'<div class="pair">{time}{machine}</div>')
        + section("Settings", config)
        + embedding.footer
    )
    return document(f"{record.subject or record.name}: report", body, style, script, POLICY)


def _header(record: Record) -> str:
    cards = []
    for split, result in list(record.metrics["splits"].items())[:1]:
        for column in figures.headline(result["mean"]):
            value = number(column, result["mean"][column])
            cards.append((value, f"{figures.readable(column)} ({figures.title_of(split)})"))
    if "train_s" in record.timing:
        device = _device(record.timing.get("device", ""))
        cards.append(
            (
                f"{record.timing['train_s']:.0f} s",
                f"{record.timing['steps']} steps on {device}",
            )
        )
    if "unseen" in record.metrics:
        cards.append((f"{record.metrics['unseen']['surface']:.0%}", "of the surface were never filmed"))
    shown = "".join(f"<li><b>{escape(value)}</b> {escape(words)}</li>" for value, words in cards)
    title = record.subject or record.name
    return (
        f"<header><h1>{escape(title)}</h1><p>{escape(record.name)}, measured as {escape(record.metrics['protocol'])} "
        f'on {escape(_device(record.metrics["device"]))}</p><ul class="cards">{shown}</ul></header>\n'
    )  # fmt: skip


def _device(name: Any) -> str:
    return "the CPU" if name == "cpu" else str(name)


def _videos(record: Record, embedding: Embedding) -> str:
    shown = []
    for name, path in record.shown.get("videos", {}).items():
        file = record.evaluation / path
        if url := embedding.url(name, file):
            player = moving(name, url, file.suffix)
            shown.append(f"<figure>{player}<figcaption>{escape(name)}</figcaption></figure>")
    return "".join(shown)


def _avatar(record: Record, embedding: Embedding) -> str:
    """The page of the avatar within this one, if it was exported; otherwise how to get it."""
    folders = [record.evaluation, *([record.run] if record.run else [])]
    path = next((folder / AVATAR for folder in folders if (folder / AVATAR).is_file()), None)
    if path is None:
        how = "python eval.py run=RUN 'eval.export=[html]'"
        return f"<p>With <code>{how}</code> the avatar itself is here, to turn and to play.</p>"
    content = json.dumps(path.read_text(encoding="utf-8"), ensure_ascii=False).replace("<", "\\u003c")
    if not embedding.text("the avatar", path, content):
        return ""
    return (
        '<figure class="live"><iframe id="avatar" title="The avatar" sandbox="allow-scripts allow-downloads"></iframe>'
        "<figcaption>drag to turn, scroll to come closer</figcaption></figure>"
        f'<script type="application/json" id="avatar-page">{content}</script>'
    )


def _images(record: Record, embedding: Embedding) -> str:
    shown = []
    for name, path in record.shown.get("images", {}).items():
        if url := embedding.url(name, record.evaluation / path):
            shown.append(
                f'<figure><span class="wide"><img src="{url}" alt="{escape(name, quote=True)}"></span>'
                f"<figcaption>{escape(name)}</figcaption></figure>"
            )
    return "".join(shown)


def _comparisons(record: Record, embedding: Embedding) -> str:
    """Truth and render of each picture with a handle between them, and the error in place of the render."""
    shown = []
    for split in record.metrics["splits"]:
        mine = [pictures for pictures in record.pictures if pictures.split == split]
        sliders = [_slider(record, pictures, embedding) for pictures in mine]
        if any(sliders):
            title = f"<h3>{escape(figures.title_of(split))}</h3>" if len(record.metrics["splits"]) > 1 else ""
            shown.append(f'{title}<div class="sliders">{"".join(sliders)}</div>')
    if not shown:
        return ""
    tools = (
        '<p class="tools"><span>left: truth</span> <label>right: <select id="right"><option value="render">render'
        '</option><option value="error">error</option></select></label> <small class="scale">no error <i></i> '
        "a quarter of the range or more</small></p>"
    )
    return tools + "".join(shown)


def _slider(record: Record, pictures: Pictures, embedding: Embedding) -> str:
    files = {kind: record.evaluation / pictures.path(kind) for kind in KINDS}
    labels = {kind: f"{pictures.split} {pictures.name}, {kind}" for kind in KINDS}
    both = embedding.urls({labels[kind]: files[kind] for kind in ("truth", "render")})
    if not both:
        return ""
    error = embedding.url(labels["error"], files["error"])
    right = [("render", both[labels["render"]])] + ([("error", error)] if error else [])
    drawn = slider(("truth", both[labels["truth"]]), right, pictures.size, pictures.box, pictures.name)
    each = record.metrics["splits"][pictures.split]["each"]
    row = next((row for row in each if row["picture"] == pictures.name), {})
    words = [escape(f"{column} {number(column, row[column])}") for column in figures.headline(row)]
    small = " ".join(f"<span>{word}</span>" for word in words)
    caption = f"<figcaption>{escape(pictures.name)} <small>{small}</small></figcaption>"
    return f'<figure style="--aspect: {aspect(pictures.box):.3f}">{drawn}{caption}</figure>'


def _means(metrics: dict[str, Any]) -> str:
    """The mean metrics of every split, and what each figure is."""
    splits = metrics["splits"]
    heads = [f"{figures.title_of(name)} ({split['pictures']})" for name, split in splits.items()]
    rows = []
    for column, meaning in metrics["columns"].items():
        values = [number(column, split["mean"].get(column)) for split in splits.values()]
        rows.append([column, *values, str(meaning)])
    unseen = metrics.get("unseen")
    note = f"<p>{escape(UNSEEN.format(unseen['surface']))}</p>" if unseen else ""
    return figures.table(["", *heads, "what it is"], rows, figures=len(heads)) + note


def _every_picture(record: Record, embedding: Embedding) -> str:
    """The metrics of every picture, as tables that a click on a head sorts."""
    folds = []
    for name, split in record.metrics["splits"].items():
        if not split["each"]:
            continue
        columns = [column for column in split["each"][0] if column != "picture"]
        rows = [[str(row["picture"]), *(number(c, row.get(c)) for c in columns)] for row in split["each"]]
        table = figures.table(["picture", *columns], rows, figures=len(columns), sortable=True)
        title = f"{figures.title_of(name)}, picture by picture"
        fold = folded(title, f"{len(rows)} pictures; a click on a head sorts", table)
        folds.append(embedding.text(title, record.evaluation / "metrics.json", fold))
    return "".join(folds)


def _input(findings: Findings | None) -> str:
    if not findings:
        return ""
    doubtful = [row for row in findings if row[0] != "ok"]
    fine = [row for row in findings if row[0] == "ok"]
    first = findings_table(doubtful) if doubtful else f"<p>{badge('ok')} Preprocessing found nothing doubtful.</p>"
    return first + (folded("What was found well", f"{len(fine)} findings", findings_table(fine)) if fine else "")


def timings(record: Record) -> dict[str, str]:
    """How long what took, by its name."""
    known = {words: f"{record.timing[key]:.1f} s" for key, words in TIMINGS.items() if key in record.timing}
    for name, split in record.metrics["splits"].items():
        if (milliseconds := split["mean"].get("render_ms")) is not None:
            known[f"rendering a picture, {figures.title_of(name)}"] = f"{milliseconds:.0f} ms"
    if "steps" in record.timing:
        known["trained on"] = (
            f"{_device(record.timing.get('device', ''))}, {record.timing.get('processes', 1)} process(es)"
        )
    if (peak := record.timing.get("peak_gpu_bytes")) is not None:
        known["most GPU memory"] = f"{peak / 2**30:.1f} GiB"
    return known


def _config(record: Record) -> str:
    """Command, commit and the whole config, group by group."""
    if not record.config:
        return ""
    first = {"command": " ".join(["python train.py", *record.command]), "commit": record.revision or "unknown"}
    groups: dict[str, dict[str, str]] = {}
    for option, value in record.options.items():
        group, _, rest = option.partition(".")
        groups.setdefault(group if rest else "single values", {})[option] = json.dumps(value, ensure_ascii=False)
    folds = [folded(group, f"{len(rows)} options", key_table(rows)) for group, rows in sorted(groups.items())]
    return key_table(first) + folded("The whole config", f"{len(record.options)} options", "".join(folds))
