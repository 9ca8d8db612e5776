"""The report of a run: what is on the page, what is left out, and what it does in a browser."""

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from hashhuman.data.subject import SubjectWriter
from hashhuman.errors import UserError
from hashhuman.evaluation.canonical_sheet import CanonicalSheet
from hashhuman.evaluation.evaluator import Evaluator
from hashhuman.evaluation.metrics.protocols import Strict
from hashhuman.evaluation.turntable import Turntable
from hashhuman.export import html
from hashhuman.io.files import load_json, read_image
from hashhuman.page.document import POLICY
from hashhuman.report.page import run_page
from hashhuman.report.product import Report
from hashhuman.report.record import Curve, Record
from tests.hashhuman import runs
from tests.hashhuman.browser import opened, wait_until
from tests.hashhuman.fakes import FakeAvatar, FakeData
from tests.preprocess.report.test_html import Page

AVATAR = "<!doctype html><title>a</title><script>window.viewer = 7;</script><p>avatar &amp; co</p>"


@pytest.fixture(scope="module")
def subject(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy with findings of preprocessing."""
    root = Path(shutil.copytree(toy_folder, tmp_path_factory.mktemp("subjects") / "toy"))
    findings = [("ok", "clip: size", "32 px", ""), ("warn", "fit: jitter <i>", "9 mm", "smooth it")]
    SubjectWriter(root).write_findings(findings)
    return root


@pytest.fixture(scope="module")
def run(subject: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "2026 <b>"
    (folder / "evaluation/export").mkdir(parents=True)
    (folder / "evaluation/export/avatar.html").write_text(AVATAR)
    made = {
        "turntable": Turntable(views=3, fps=5, height=32, frame=None, background=1.0, format="mp4"),
        "canonical": CanonicalSheet(views=2, height=32, background=1.0),
    }
    return runs.run(folder, subject, 0.1, **made)


@pytest.fixture(scope="module")
def text(run: Path) -> str:
    return (run / "evaluation/report.html").read_text(encoding="utf-8")


def test_everything_is_on_the_page(run: Path, text: str):
    page = Page(re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.S))
    metrics = load_json(run / "evaluation/metrics.json")
    for words in (
        "2026 <b>", f"{metrics['splits']['heldout']['mean']['psnr_fg']:.2f}", "mean alpha more than 5 px",  # metrics
        f"{metrics['splits']['heldout']['mean']['psnr_box']:.2f} PSNR in the person's box, dB (held-out frames)",
        "val/psnr", "Always 0: train/residual.", "seconds of training",  # curves
        "fit: jitter <i>", "smooth it", "of the body's whole surface", "turntable", "canonical",
        "20.0 s", "200 steps on the CPU", "torch", "python train.py data=synthetic seed=0 note='<b>'", "e" * 40,
        "trainer.max_steps",
    ):  # fmt: skip
        assert words in page.text, words
    pictures = metrics["shown"]["pictures"]
    measured = [row["picture"] for split in metrics["splits"].values() for row in split["each"]]
    assert [shown["name"] for shown in pictures] == measured and len(measured) > 3
    assert text.count('class="slider"') == len(pictures)
    assert page.text.index("fit: jitter") < page.text.index("clip: size")  # what is doubtful comes first


def test_it_asks_for_nothing(text: str):
    assert f'content="{POLICY}"' in text
    assert POLICY.replace(" media-src data:;", "") in (html.PAGE / "page.html").read_text()  # of the page within
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert len(links) > 10 and all(link.startswith("data:") for link in links)


def test_pictures_are_those_that_were_measured(run: Path):
    data = FakeData(Path(load_json(run / "config.json")["data"]["root"]))
    picture = data.splits["heldout"][0]
    stem = run / f"evaluation/report/heldout/{picture.camera:02d}_{picture.frame:06d}"
    truth = np.asarray(data.view(picture).image) * 255
    for kind, factor in (("truth", 1.0), ("render", 0.9)):
        kept = read_image(stem.with_name(f"{stem.name}_{kind}.jpg"))
        assert np.abs(kept - factor * truth).mean() < 3
    shown = load_json(run / "evaluation/metrics.json")["shown"]["pictures"][0]
    top, left, bottom, right = shown["box"]
    outside = truth.copy()
    outside[top:bottom, left:right] = 0
    assert shown["size"] == list(truth.shape[:2]) and not outside.any()


def test_pictures_of_an_earlier_evaluation_disappear(subject: Path, run: Path, tmp_path: Path):
    again = Path(shutil.copytree(run, tmp_path / "run"))
    report = Report(1, 15)
    Evaluator(Strict(None), ["heldout"], None, False, {}, {"report": report})(
        FakeAvatar(), FakeData(subject), again / "evaluation", again
    )
    assert len(list((again / "evaluation/report").rglob("*.jpg"))) == 3


def test_what_makes_it_too_large_is_left_out_and_named(subject: Path, run: Path, tmp_path: Path):
    again = Path(shutil.copytree(run, tmp_path / "run"))
    page = again / "evaluation/report.html"
    whole = page.stat().st_size
    (again / "evaluation/export/avatar.html").write_text(AVATAR + whole * "x")
    made = {"report": Report("all", (whole + 60_000) / 1e6)}
    evaluator = Evaluator(Strict(None), runs.SPLITS, None, False, {}, made)
    evaluator(FakeAvatar(), FakeData(subject), again / "evaluation", again)
    text = page.read_text()
    assert "Left out, since the page would have become too large: the avatar (" in text and "avatar.html)." in text
    assert page.stat().st_size <= whole + 60_000 and 'class="slider"' in text


def test_very_many_pictures_and_steps_stay_below_the_limit(run: Path):
    """The metrics of every picture and the curves are text, which no setting of the pictures makes smaller."""
    metrics = load_json(run / "evaluation/metrics.json")
    each = metrics["splits"]["heldout"]["each"]
    each += [each[0] | {"picture": f"00/{frame:06d}"} for frame in range(100, 3000)]
    record = Record.of(run / "evaluation", metrics, run)
    steps = np.arange(1, 40_001.0)
    record = dataclasses.replace(record, curves={"train/loss": Curve(steps, 1 / steps)})
    text = run_page(record, None, 300_000)
    assert len(text.encode()) <= 300_000
    assert "picture by picture (" in text and "metrics.json)" in text and "train/loss" in text


def test_without_a_run_there_is_still_a_page(subject: Path, tmp_path: Path):
    made = {"report": Report(1, 15)}
    Evaluator(Strict(None), ["heldout"], None, False, {}, made)(FakeAvatar(), FakeData(subject), tmp_path / "here")
    text = (tmp_path / "here/report.html").read_text()
    assert "No curves" in text and 'class="slider"' in text and "Settings" not in text
    assert "eval.export=[html]" in text


def test_nothing_is_deleted_through_a_link(subject: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/holiday.jpg").touch()
    (tmp_path / "here").mkdir()
    (tmp_path / "here/report").symlink_to(tmp_path / "mine")
    for pictures in (0, 1):
        evaluator = Evaluator(Strict(None), ["heldout"], None, False, {}, {"report": Report(pictures, 15)})
        with pytest.raises(UserError, match="is a link to"):
            evaluator(FakeAvatar(), FakeData(subject), tmp_path / "here")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["holiday.jpg"]


@pytest.mark.parametrize("pictures", [-1, "some", True])
def test_a_wrong_number_of_pictures_is_one_sentence(pictures):
    with pytest.raises(UserError, match=r"eval\.products\.report\.pictures"):
        Report(pictures, 15)


def test_in_a_browser(run: Path):
    with opened(run / "evaluation/report.html") as page:
        slider = page.locator(".slider").first
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        truth, render = slider.locator(".over img"), slider.locator("img[data-kind=render]")
        assert truth.bounding_box() == render.bounding_box()  # they lie on each other
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 20, steps=4)
        page.mouse.up()
        split = float(slider.evaluate("element => element.style.getPropertyValue('--split')").rstrip("%"))
        assert split == pytest.approx(90, abs=8)
        page.select_option("#right", "error")
        assert slider.locator("img[data-kind=error]").is_visible() and not render.is_visible()

        assert page.locator("[data-over=steps]").first.is_visible()
        page.check("input[name=over][value=seconds]")
        assert page.locator("[data-over=seconds]").first.is_visible()
        assert not page.locator("[data-over=steps]").first.is_visible()

        page.locator("summary", has_text="held-out frames, picture by picture").click()
        table = page.locator("table.sortable").first
        names = lambda: table.locator("tbody th").all_text_contents()
        table.locator("thead button", has_text="picture").click()
        ascending = names()
        table.locator("thead button", has_text="picture").click()
        assert names() == ascending[::-1] == sorted(ascending, reverse=True)

        assert page.evaluate("document.querySelector('video').readyState > 1")  # it is decoded
        page.locator("iframe").scroll_into_view_if_needed()
        frame = page.frame_locator("#avatar")
        frame.locator("p").wait_for(timeout=30_000)
        assert frame.locator("p").text_content() == "avatar & co"
        assert page.frames[1].evaluate("viewer") == 7  # its script runs under the policy of the page around it


def test_on_a_phone_nothing_sticks_out(run: Path):
    with opened(run / "evaluation/report.html", width=390, height=800) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        wait_until(page, "[...document.images].every((image) => image.complete && image.naturalWidth > 0)", 30)


@pytest.mark.slow
def test_the_avatar_turns_within_the_page(exports, run: Path, tmp_path: Path):
    """With the page that the export makes."""
    from hashhuman.export.glb import glb

    try:
        modules = html.HtmlFile.fetched()
    except UserError as error:
        pytest.skip(str(error))
    again = Path(shutil.copytree(run, tmp_path / "run"))
    (again / "evaluation/export/avatar.html").write_text(html.page(glb(exports.mesh, [exports.motion]), modules))
    data = FakeData(Path(load_json(run / "config.json")["data"]["root"]))
    Evaluator(Strict(None), runs.SPLITS, None, False, {}, {"report": Report(1, 15)})(
        FakeAvatar(), data, again / "evaluation", again
    )
    with opened(again / "evaluation/report.html") as page:
        page.locator("iframe").scroll_into_view_if_needed()
        page.frame_locator("#avatar").locator("#tools").wait_for(timeout=60_000)
        frame, place = page.frames[1], "viewer.camera.position.toArray()"
        before, box = frame.evaluate(place), page.locator("iframe").bounding_box()
        page.mouse.move(box["x"] + 200, box["y"] + 100)
        page.mouse.down()
        page.mouse.move(box["x"] + 280, box["y"] + 100, steps=4)
        page.mouse.up()
        page.wait_for_timeout(300)
        assert np.linalg.norm(np.subtract(frame.evaluate(place), before)) > 0.1
