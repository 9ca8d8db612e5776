"""`report.html`: a page without scripts that opens from the disk, with relative links to pictures and video."""

import json
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from hashhuman.data.subject import Subject
from hashhuman.io.files import load_json
from hashhuman.page.document import badge, document, findings_table, folded, key_table, section
from preprocess.doctor.fit import FitChecks
from preprocess.doctor.installed import version_of
from preprocess.findings import Finding, Verdict, worst
from preprocess.frames.images import CAMERA
from preprocess.quality import Quality
from preprocess.report.charts import Chart
from preprocess.stage_order import STAGES

PACKAGES = "hashhuman", "torch", "numpy", "opencv-python-headless", "av", "anny", "ai-edge-litert"
SUMMARIES = {
    Verdict.OK: "Ready for training.",
    Verdict.WARN: "Ready for training, but the findings below may make the avatar worse.",
    Verdict.BAD: "Not ready for training: the avatar would be poor.",
}
"""What the page says of the worst of the findings."""


def stamps(subject: Path) -> list[Path]:
    """The stamp files of the finished stages, in order."""
    found = {path.stem: path for path in (subject / "stages").glob("*.json")}
    return [found[name] for name in STAGES if name in found]


def render(
    subject: Path, findings: Sequence[Finding], quality: Quality | None, fit: FitChecks, sheet: Path, video: Path
) -> str:
    """The page as HTML5.

    Args:
        subject: the subject's folder.
        findings: on the clip and on the fit.
        quality: figures for the charts; None leaves these out.
        fit: whose limits the charts show.
        sheet: the contact sheet, below `subject`.
        video: the video of the body, below `subject`.
    """

    def link(path: Path) -> str:
        return escape(path.relative_to(subject).as_posix(), quote=True)

    verdict = worst(findings)
    sections = [
        section("Findings", findings_table(rows_of(findings))),
        section("Body over the video", player(link(video))),
        section("Fit over the clip", curves(quality, fit)) if quality else "",
        section("Contact sheet", wide_picture(link(sheet), "points, body, mask and parts in a few pictures")),
        section("Pictures of the stages", galleries(subject, link)),
        section("How it was made", about(subject) + settings(subject)),
    ]
    header = f"<header><h1>{escape(subject.name)}</h1><p>{badge(verdict.word)} {SUMMARIES[verdict]}</p></header>\n"
    return document(f"{subject.name}: preprocessing", header + "".join(sections))


def player(source: str) -> str:
    """The video of the body."""
    return (
        f'<video controls loop muted playsinline preload="auto" src="{source}"></video>'
        "<p>The person's left limbs are orange, the right ones blue.</p>"
    )


def wide_picture(source: str, words: str) -> str:
    """A picture that scrolls horizontally on a narrow screen."""
    return f'<a class="wide" href="{source}"><img src="{source}" alt="{words}"></a>'


def rows_of(findings: Iterable[Finding]) -> list[tuple[str, str, str, str]]:
    """Each finding as the page shows it: verdict, name, value, and advice unless all is well."""
    return [
        (each.verdict.word, f"{each.topic}: {each.name}", each.value, each.advice if each.verdict else "")
        for each in findings
    ]


def curves(quality: Quality, fit: FitChecks) -> str:
    """Charts of reprojection error, overlap and jitter over the frames."""
    marked = quality.interpolated | quality.flipped
    charts = (
        (Chart("Skeleton off the points", "% of the height", fit.reprojection), 100 * quality.off[0]),
        (Chart("Body over the mask", "IoU", fit.silhouette_iou, top=1.0), quality.silhouette_iou[0]),
        (Chart("Jitter", "mm", fit.jitter), quality.jitter),
    )
    drawn = [
        f"<figure><figcaption>{escape(chart.title)} <small>{escape(chart.unit)}</small></figcaption>"
        f"{chart.svg(quality.frames, np.asarray(values), marked)}</figure>"
        for chart, values in charts
        if np.isfinite(values).any()
    ]
    legend = "<p>Over the frames of the clip. Dashed lines: the limits of a fine (yellow) and of a bad figure (red)."
    legend += " Grey background: interpolated poses, or left and right exchanged.</p>" if marked.any() else "</p>"
    return f'<div class="charts">{"".join(drawn)}</div>{legend}'


def galleries(subject: Path, link: Callable[[Path], str]) -> str:
    """The pictures that the stages drew, collapsed."""
    shown = []
    for name in STAGES:
        pictures = sorted((subject / "pictures" / name).rglob("*.jpg"))
        if pictures:
            images = "".join(
                f'<a href="{link(path)}"><img loading="lazy" src="{link(path)}" alt="{name}, {escape(path.stem)}"></a>'
                for path in pictures
            )
            shown.append(folded(name, f"{len(pictures)} pictures", f'<div class="gallery">{images}</div>'))
    return "".join(shown)


def about(subject: Path) -> str:
    """The subject's video, camera and body, and the packages that made it."""
    reader = Subject(subject)
    camera, video = reader.camera(CAMERA), reader.meta.get("video", {})
    given = "assumed" if video.get("focal_assumed") else "given"
    rows = {
        "video": video.get("file"),
        "pictures": f"{len(reader.pictures)}, {camera.width} x {camera.height}",
        "camera": f"focal length {camera.K[0, 0]:.0f} px, {given}",
        "body": reader.meta.get("body"),
        "shape": ", ".join(f"{name} {value:g}" for name, value in reader.meta.get("shape", {}).items()),
        "packages": ", ".join(f"{name} {version}" for name in PACKAGES if (version := version_of(name))),
    }
    return key_table({name: str(value) for name, value in rows.items() if value})


def settings(subject: Path) -> str:
    """The settings and the version of every finished stage, collapsed."""
    shown = []
    for path in stamps(subject):
        values = dict(load_json(path)["settings"])
        version = values.pop("version")
        rows = {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
        shown.append(folded(path.stem, f"version {version}", key_table(rows)))
    return "".join(shown)
