"""The page of a subject: valid enough to parse, complete, and with no link that leads nowhere."""

import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import av
import numpy as np
import pytest

from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io.files import save_npz
from preprocess.body_fit.result import report_path
from preprocess.quality import MeasuredQuality
from preprocess.report.html import HtmlReport
from preprocess.stage import is_finished, run_stages
from tests.preprocess.doctor.limits import checks
from tests.preprocess.subjects import finished_toy

VOID = {"meta", "img", "br", "path", "rect", "link", "input"}  # and, in SVG, what closes itself


class Page(HTMLParser):
    """Keeps tags, links and texts, and refuses tags that are not closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            assert dict(attrs)["alt"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def report() -> HtmlReport:
    return HtmlReport(checks("clip"), checks("fit"), columns=3, row_height=80, video_height=96)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished subject whose name is nobody's friend."""
    root = finished_toy(tmp_path_factory.mktemp("subjects") / "a <b> & c", frames=8)
    flags = {"interpolated": np.arange(8) == 2, "flipped": np.arange(8) == 3}
    fit = {"frames": np.arange(8), "reprojection_error": np.full(8, 3.0), "silhouette_iou": np.full(8, 0.9)}
    save_npz(report_path(root), fit | flags)
    SubjectWriter(root).update_meta(video={"file": "/videos/a <b>.mp4", "seconds": [i / 10 for i in range(8)]})
    run_stages([MeasuredQuality(), report()], root)
    return root


@pytest.fixture(scope="module")
def page(subject: Path) -> Page:
    return Page((subject / "report.html").read_text(encoding="utf-8"))


def test_it_is_a_page(subject: Path, page: Page):
    assert (subject / "report.html").read_text().startswith("<!DOCTYPE html>\n<html lang=")
    assert page.tags.count("h1") == page.tags.count("title") == page.tags.count("main") == 1
    assert "script" not in page.tags
    assert "a <b> & c" in page.text and "/videos/a <b>.mp4" in page.text


def test_every_link_is_relative_and_leads_somewhere(subject: Path, page: Page):
    assert "pictures/report/overlay.mp4" in page.links and "contact_sheet.png" in page.links
    assert any(link.startswith("pictures/masks/") for link in page.links)
    for link in page.links:
        assert not link.startswith(("/", "http", "file:"))
        assert (subject / unquote(link)).is_file(), link


def test_findings_curves_and_settings_are_there(page: Page):
    for words in ("skeleton off the points", "body in the picture", "jitter", "Grey background", "background_pictures"):
        assert words in page.text
    assert page.tags.count("svg") == 3 and page.tags.count("details") >= 3


def test_findings_can_be_read_by_others(subject: Path, page: Page, tmp_path: Path):
    findings = Subject(subject).findings
    assert findings and all(verdict in ("ok", "warn", "bad") for verdict, *_ in findings)
    assert all(words in page.text for finding in findings for words in finding)
    root = Path(shutil.copytree(subject, tmp_path / "toy"))
    (root / "findings.json").write_text('[{"verdict": "ok"}]')
    with pytest.raises(UserError, match=r"findings\.json holds no findings"):
        _ = Subject(root).findings
    (root / "findings.json").unlink()
    assert Subject(root).findings is None and not is_finished(report(), root)


def test_marked_frames_have_a_ground_in_every_chart(page: Page):
    assert page.tags.count("rect") == 2 * 3


def test_the_video_shows_every_picture(subject: Path):
    with av.open(str(subject / "pictures/report/overlay.mp4")) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 10
    assert len(frames) == 8
    height, width = frames[0].shape[:2]
    assert height <= 96 and height % 2 == width % 2 == 0
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 2


def test_the_report_is_redone_when_the_fit_changes(subject: Path, tmp_path: Path):
    root = Path(shutil.copytree(subject, tmp_path / "toy"))
    assert is_finished(report(), root)
    assert not is_finished(HtmlReport(checks("clip"), checks("fit"), columns=2), root)
    save_npz(report_path(root), {"frames": np.arange(8)})
    assert not is_finished(report(), root)


def test_without_points_there_is_still_a_report(subject: Path, tmp_path: Path):
    root = Path(shutil.copytree(subject, tmp_path / "toy"))
    (root / "quality.npz").unlink()
    run_stages([report()], root)
    text = Page((root / "report.html").read_text()).text
    assert "body in the picture" in text and "skeleton off the points" not in text
