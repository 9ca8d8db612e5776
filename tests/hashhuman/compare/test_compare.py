"""Runs beside each other: what is compared, what is refused, and what the page does in a browser."""

import dataclasses
import json
import re
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from hashhuman.cli.arguments import prepared
from hashhuman.compare.__main__ import main
from hashhuman.compare.matching import better, matched, unique_names
from hashhuman.compare.page import difference
from hashhuman.errors import UserError
from hashhuman.io.files import load_json, save_json
from hashhuman.training.manifest import Manifest
from tests.hashhuman import runs
from tests.hashhuman.browser import opened
from tests.preprocess.report.test_html import Page

CONF = str(Path(__file__).parents[3] / "conf")


@pytest.fixture(scope="module")
def place(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs of the toy: `first` is the best, `third` has an evaluation by another protocol, too."""
    folder = tmp_path_factory.mktemp("runs")
    runs.run(folder / "first", toy_folder, 0.02)
    runs.run(folder / "second", toy_folder, 0.3, seed=1)
    runs.run(folder / "third", toy_folder, 0.1, protocol=runs.legacy())
    runs.run(folder / "third", toy_folder, 0.1, part="strict")
    return folder


def compared(out: Path, *paths: Path) -> str:
    """The page of `python -m hashhuman.compare`."""
    with initialize_config_dir(CONF, version_base="1.3"):
        config = compose("compare", [f"out={out}"])
    config.runs = [str(path) for path in paths]
    main(config)
    return out.read_text(encoding="utf-8")


def text_of(page: str) -> str:
    return Page(re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)).text


def test_means_and_differences(place: Path, tmp_path: Path, capsys):
    text = text_of(compared(tmp_path / "out.html", place / "first", place / "second"))
    said = capsys.readouterr().out
    reports = [load_json(place / name / "evaluation/metrics.json") for name in ("first", "second")]
    for split in runs.SPLITS:
        first, second = (report["splits"][split]["mean"]["psnr_fg"] for report in reports)
        assert second < first
        for words in (f"{first:.2f}", f"{second:.2f}", f"−{first - second:.2f}"):
            assert words in text and words in said
    assert f"page: {tmp_path / 'out.html'}" in said
    assert "seed" in text and "trainer.max_steps" not in text  # settings that differ, and one that does not
    assert "run_dir" not in text  # where a run lies is no setting


def test_a_run_may_be_called_truth(place: Path, tmp_path: Path):
    """The true picture of a row stays the true one."""
    own = Path(shutil.copytree(place / "second", tmp_path / "truth"))
    pages = [compared(tmp_path / "out.html", place / "first", run) for run in (place / "second", own)]
    cells = [re.findall(r'<img class="plain" src="([^"]+)"', page) for page in pages]
    assert cells[0] == cells[1] and len(set(cells[0])) == len(cells[0]) >= 3


def test_only_common_pictures_count(place: Path, tmp_path: Path):
    """One picture of the second run has another truth, and one was not measured."""
    second = Path(shutil.copytree(place / "second", tmp_path / "second"))
    report = load_json(second / "evaluation/metrics.json")
    split = next(name for name in runs.SPLITS if len(report["splits"][name]["each"]) > 3)
    rows = report["splits"][split]["each"]
    report["shown"]["truths"][split][rows[0]["picture"]] = "0" * 16
    gone = report["splits"][split]["each"].pop()["picture"]
    del report["shown"]["truths"][split][gone]
    report["columns"]["halo"] = "something else"
    save_json(second / "evaluation/metrics.json", report)
    found = matched([place / "first", second])
    kept = [row["picture"] for row in rows[1:]]
    assert found.common[split] == kept
    mine = {row["picture"]: row["psnr_box"] for row in rows}
    assert found.means(split)["psnr_box"][1] == pytest.approx(statistics.fmean(mine[name] for name in kept))
    assert "halo" not in found.columns and "halo" in " ".join(found.notes)
    assert f"2 of {len(rows) + 1} pictures were not measured in all runs" in " ".join(found.notes)


def test_of_several_evaluations_the_one_that_fits_is_taken(place: Path):
    found = matched([place / "first", place / "third"])
    assert [record.metrics["protocol"] for record in found.records] == ["Strict", "Strict"]
    assert found.records[1].evaluation == place / "third/evaluation/strict"


def test_one_evaluation_may_be_named(place: Path):
    with pytest.raises(UserError, match=r"measured differently \(first as Strict, evaluation as LegacyNVR\)"):
        matched([place / "first", place / "third/evaluation"])


def test_what_cannot_be_compared_is_one_sentence(place: Path, toy_folder: Path, tmp_path: Path):
    with pytest.raises(UserError, match="at least two runs"):
        matched([place / "first"])
    with pytest.raises(UserError, match="named twice"):
        matched([place / "first", place / "second/../first"])
    with pytest.raises(UserError, match=r"holds no run, since .*config\.json is missing"):
        matched([place / "first", tmp_path])
    small = runs.run(tmp_path / "small", toy_folder, 0.1, data=runs.Halved(toy_folder))
    with pytest.raises(UserError, match=r"no picture was measured in all of them by the same truth.*data\.max_size"):
        matched([place / "first", small])
    other = Path(shutil.copytree(small, tmp_path / "other"))
    config = load_json(other / "config.json")
    save_json(other / "config.json", config | {"data": {"root": "/somewhere/else"}})
    with pytest.raises(UserError, match=rf"no picture in common \(first of {toy_folder.name}, other of else\)"):
        matched([place / "first", other])
    shutil.rmtree(other / "evaluation")
    with pytest.raises(UserError, match=r"has not been evaluated yet: run `python eval\.py run="):
        matched([place / "first", other])


def test_a_run_that_has_nothing_to_compare_is_one_sentence(place: Path, tmp_path: Path):
    """Evaluating it again would not help: nothing was held out, or it has not been trained to its end."""
    empty = Path(shutil.copytree(place / "second", tmp_path / "empty"))
    report = load_json(empty / "evaluation/metrics.json")
    report["splits"], report["shown"] = {}, report["shown"] | {"truths": {}, "pictures": []}
    save_json(empty / "evaluation/metrics.json", report)
    with pytest.raises(UserError, match=r"No picture of .*empty was held out.*data\.holdout_every"):
        matched([place / "first", empty])
    shutil.rmtree(empty / "evaluation")
    with pytest.raises(UserError, match="has not been evaluated yet"):
        matched([place / "first", empty])
    half = Path(shutil.copytree(place / "second", tmp_path / "half"))  # with what an earlier training has measured
    manifest = Manifest.load(half)
    assert manifest is not None
    dataclasses.replace(manifest, trained=False).save(half)
    for path in (half, half / "evaluation"):
        with pytest.raises(UserError, match=r"half is not a finished run: its training has not ended, .*resume=.*half"):
            matched([place / "first", path])


def test_an_evaluation_of_an_earlier_revision_is_one_sentence(place: Path, tmp_path: Path):
    old = Path(shutil.copytree(place / "second", tmp_path / "old"))
    report = load_json(old / "evaluation/metrics.json")
    del report["shown"]
    save_json(old / "evaluation/metrics.json", report)
    with pytest.raises(UserError, match=r"nobody knows by what truth: run `python eval\.py"):
        matched([place / "first", old])


@pytest.mark.parametrize(
    ("place_of", "value"),
    [
        ("splits", []),
        ("shown.pictures", [{"split": "heldout", "name": "../../x", "size": [1, 1], "box": [0, 0, 1, 1]}]),
        ("shown.pictures", [{"split": "heldout", "name": "00/000000", "size": [9, 9], "box": [0, 0, 10, 1]}]),
        ("shown.videos", {"turntable": "/etc/passwd"}),
        ("shown.images", {"canonical": "table.md"}),
        ("shown.environment", {"torch": 3}),
        ("columns", None),
    ],
)  # fmt: skip
def test_a_strangers_metrics_are_one_sentence(place: Path, tmp_path: Path, place_of: str, value: object):
    run = Path(shutil.copytree(place / "second", tmp_path / "run"))
    report = load_json(run / "evaluation/metrics.json")
    *outer, last = place_of.split(".")
    (report[outer[0]] if outer else report)[last] = value
    (run / "evaluation/metrics.json").write_text(json.dumps(report))
    with pytest.raises(UserError, match=r"metrics\.json"):
        matched([place / "first", run])


def test_a_damaged_log_is_one_sentence(place: Path, tmp_path: Path):
    run = Path(shutil.copytree(place / "second", tmp_path / "run"))
    (run / "logs/metrics.csv").write_text("step,train/loss\n1,abc\n")
    with pytest.raises(UserError, match=r"metrics\.csv is not a readable CSV file"):
        matched([place / "first", run])


def test_a_page_has_another_suffix(place: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"must be an \.html file"):
        compared(tmp_path / "out.pdf", place / "first", place / "second")


def test_seconds_lie_between_validations(place: Path):
    record = matched([place / "first", place / "second"]).records[0]
    assert record.seconds(np.array([0.0, 50, 100, 150, 200])) == pytest.approx([0, 7.5, 15, 17.5, 20])
    curve = record.curves["val/psnr"]
    assert curve.steps.tolist() == [100, 200] and curve.values == pytest.approx([21.98, 23.98])


def test_folders_have_short_names(tmp_path: Path):
    paths = [tmp_path / name for name in ("a/x", "b/x", "c")]
    assert unique_names(paths) == ["a/x", "b/x", f"{tmp_path.name}/c"]


@pytest.mark.parametrize(
    ("column", "value", "text", "good"),
    [
        ("psnr_fg", -1.234, "−1.23", False),
        ("ssim_box", 0.00001, "0.0000", True),
        ("lpips_alex_box", -0.01, "−0.0100", True),
        ("render_ms", 7.0, "+7", None),
        ("mystery", 0.5, "+0.5000", None),
    ],
)
def test_differences(column: str, value: float, text: str, good: bool | None):
    assert difference(column, value) == text and better(column, value) is good


def test_paths_without_a_name_are_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b, [1]"):
        (tmp_path / name).mkdir()
    typed = ["./a", "out=x.html", "./b, [1]"]
    assert prepared(typed, "runs", several_paths=True) == ["runs=['./a','./b, [1]']", "out=x.html"]
    assert prepared(["runs=[a]"], "runs", several_paths=True) == ["runs=[a]"]
    with pytest.raises(UserError, match=r"^\./c does not exist, and is no option either"):
        prepared(["./a", "./c"], "runs", several_paths=True)


def test_in_a_browser(place: Path, tmp_path: Path):
    compared(tmp_path / "out.html", *(place / name for name in ("first", "second", "third")))
    with opened(tmp_path / "out.html") as page:
        row = page.locator(".row").first
        under, over = row.locator(".slider > img"), row.locator(".over img")
        assert (over.get_attribute("alt"), under.get_attribute("alt")) == ("first", "second")
        page.select_option("#left-picture", label="truth")
        page.select_option("#right-picture", label="third")
        sources = [row.locator(f"img.plain[alt={name}]").get_attribute("src") for name in ("truth", "third")]
        assert [over.get_attribute("src"), under.get_attribute("src")] == sources and sources[0] != sources[1]
        page.check("#errors")
        assert under.get_attribute("alt") == "error of third" and over.get_attribute("alt") == "truth"
        row.locator("input").fill("20")
        assert row.locator(".slider").evaluate("element => element.style.getPropertyValue('--split')") == "20%"
        box, crop = row.locator(".slider").bounding_box(), row.locator(".crop").first.bounding_box()
        assert box["width"] / box["height"] == pytest.approx(crop["width"] / crop["height"], rel=0.05)
        page.check("input[name=over][value=seconds]")
        assert page.locator("[data-over=seconds] svg").first.locator(".curve").count() == 3
        fold = page.locator("details", has_text="ssim_").last
        fold.locator("summary").click()
        table = fold.locator("table.sortable")
        table.locator("thead button").nth(3).click()  # differences of the second run, which are negative
        texts = table.locator("tbody td:nth-of-type(3)").all_text_contents()
        values = [float(text.replace("−", "-")) for text in texts]
        assert len({*values}) > 1 and max(values) < 0 and values == sorted(values)


def test_on_a_phone_nothing_sticks_out(place: Path, tmp_path: Path):
    compared(tmp_path / "out.html", place / "first", place / "second")
    with opened(tmp_path / "out.html", width=390, height=800) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
