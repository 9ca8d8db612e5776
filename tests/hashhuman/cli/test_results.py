"""The table at the end of a sweep, of fake run folders."""

import dataclasses
import json
import os
import time
from pathlib import Path

import pytest

from hashhuman.cli.results import METRICS, FinishedRun, metrics_of, print_results, with_result_checked


def run_folder(root: Path, name: str, **protocols: dict) -> FinishedRun:
    for protocol, means in protocols.items():
        folder = root / name / "evaluation" / protocol
        folder.mkdir(parents=True)
        splits = {split: {"mean": mean, "each": []} for split, mean in means.items()}
        (folder / "metrics.json").write_text(json.dumps({"protocol": protocol, "splits": splits}))
    (root / name).mkdir(exist_ok=True)
    return FinishedRun([f"a={name}"], root / name, time.time(), 12.3)


def test_one_table_with_metrics_and_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    good = run_folder(tmp_path, "good", strict={"novel_view": {"psnr": 31.257, "ssim": 0.9}, "heldout": {"psnr": 28}})
    bad = FinishedRun(["a=bad"], tmp_path / "bad", time.time(), 1.0, "There is no [subject] x.", "3", Path("run.log"))
    print_results([good, bad], ["a=good", "a=bad"])
    said = capsys.readouterr().out
    assert said.count("runs of the sweep") == 1
    for word in ("31.26", "0.9", "28", "novel_view", "heldout", "12", "done", "There is no [subject] x.", "run.log"):
        assert word in said
    print_results([FinishedRun(["v=1"], tmp_path, time.time(), 2.0)], ["v=1"])
    assert "split" not in capsys.readouterr().out  # preprocessing has no metrics


def test_several_protocols_have_separate_rows(tmp_path: Path):
    both = run_folder(tmp_path, "both", strict={"heldout": {"psnr": 1}}, legacy={"heldout": {"psnr": 2}})
    assert metrics_of(both) == {"legacy heldout": {"psnr": 2}, "strict heldout": {"psnr": 1}}
    one = run_folder(tmp_path, "one", strict={"heldout": {"psnr": 1}, "novel_view": {}})
    assert metrics_of(one) == {"heldout": {"psnr": 1}}


def test_a_run_without_its_result_has_failed(tmp_path: Path):
    good, empty = run_folder(tmp_path, "good", strict={}), run_folder(tmp_path, "empty")
    assert with_result_checked(good, METRICS) is good and with_result_checked(empty, None) is empty
    failure = with_result_checked(empty, METRICS).failure
    assert failure is not None and "without its result" in failure and str(tmp_path / "empty") in failure
    failed = FinishedRun([], tmp_path / "good", time.time(), 1.0, "it broke.")
    assert with_result_checked(failed, METRICS).failure == "it broke."


def test_results_of_an_earlier_run_do_not_count(tmp_path: Path):
    good = run_folder(tmp_path, "good", strict={"heldout": {"psnr": 1}})
    old = time.time() - 100
    os.utime(tmp_path / "good/evaluation/strict/metrics.json", (old, old))
    assert with_result_checked(good, METRICS).failure and metrics_of(good) == {}


def test_results_that_the_manifest_lists_do(tmp_path: Path):
    """The job of a sweep that is started again has nothing to do if its run is finished."""
    good = run_folder(tmp_path, "good", strict={"heldout": {"psnr": 1}})
    path = tmp_path / "good/evaluation/strict/metrics.json"
    old = time.time() - 100
    os.utime(path, (old, old))
    manifest = {"evaluated": True, "files": {"evaluation/strict/metrics.json": "x"}}
    (tmp_path / "good/manifest.json").write_text(json.dumps(manifest))
    assert with_result_checked(good, METRICS) is good and metrics_of(good) == {"heldout": {"psnr": 1}}
    refused = dataclasses.replace(good, failure="another config")
    assert metrics_of(refused) == {}  # what lies there is of an earlier run
    for other in ({"evaluated": False, "files": manifest["files"]}, {"evaluated": True, "files": {}}, []):
        (tmp_path / "good/manifest.json").write_text(json.dumps(other))
        assert with_result_checked(good, METRICS).failure


@pytest.mark.parametrize("content", ["", "{", "[]", '{"splits": {"heldout": {}}}', '{"splits": 3}'])
def test_damaged_metrics_are_left_out(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    good = run_folder(tmp_path, "good", strict={"heldout": {"psnr": 1}})
    (tmp_path / "good/evaluation/strict/metrics.json").write_text(content)
    print_results([good], ["a"])
    assert "done" in capsys.readouterr().out
