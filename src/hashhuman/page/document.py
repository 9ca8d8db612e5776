"""An HTML page as one text: its frame, its sections, and files that are part of it."""

import base64
from collections.abc import Iterable
from html import escape
from pathlib import Path

STYLE = Path(__file__).with_name("page.css")
# The page may ask nothing of any server. A page within it, which shows the avatar, has modules and a mesh in `data:`.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' data: blob:; style-src 'unsafe-inline'; img-src data: blob:; "
    "media-src data:; connect-src data: blob:"
)


def document(title: str, body: str, style: str = "", script: str = "", policy: str | None = None) -> str:
    """A page in HTML5.

    Args:
        title: as plain text.
        body: HTML, such as sections.
        style: CSS in addition to `page.css`.
        script: JavaScript, run once the body is there.
        policy: the Content-Security-Policy; None: a page that refers to files beside it.
    """
    allowed = "" if policy is None else f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    icon = "" if policy is None else '<link rel="icon" href="data:,">\n'
    scripts = f"<script>\n{script}</script>\n" if script else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{allowed}{icon}'
        f"<title>{escape(title)}</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<style>\n{STYLE.read_text(encoding='utf-8')}{style}</style>\n</head>\n<body>\n<main>\n"
        f"{body}</main>\n{scripts}</body>\n</html>\n"
    )


def section(title: str, body: str) -> str:
    """A section of a page; nothing if its body is empty."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>\n" if body else ""


def folded(title: str, note: str, body: str) -> str:
    """A part of a page that opens by a click, with a note beside its title."""
    return f"<details><summary>{escape(title)} <small>{escape(note)}</small></summary>{body}</details>\n"


def badge(word: str) -> str:
    """A verdict (ok, warn, bad) as a coloured label."""
    return f'<span class="badge {escape(word, quote=True)}">{escape(word)}</span>'


def key_table(rows: dict[str, str]) -> str:
    """A table of names and values; the word None if there are none."""
    cells = [f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows.items()]
    return f'<table class="keys">\n{"".join(cells)}\n</table>' if cells else "<p>None.</p>"


def findings_table(findings: Iterable[tuple[str, str, str, str]]) -> str:
    """A table of findings: verdict (ok, warn, bad), name, value and advice, which may be empty."""
    rows = [
        f'<tr><td>{badge(verdict)}</td><th scope="row">{escape(name)}</th><td>{escape(value)}</td>'
        f'<td class="advice">{escape(advice)}</td></tr>'
        for verdict, name, value, advice in findings
    ]
    return f'<table class="findings">\n{"".join(rows)}\n</table>'


def data_url(kind: str, content: bytes) -> str:
    """A file as part of a page; `kind` is its media type, such as image/jpeg."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
