"""Where faults are put, what counts as one, and that a stopped command is noticed to have been stopped."""

import collections
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks import faults, small_pipeline
from hashhuman.io import files
from hashhuman.training.manifest import Manifest


def test_attempts_are_spread_evenly():
    attempts = faults.planned(200, 60, seed=0)
    assert attempts == faults.planned(200, 60, seed=0) != faults.planned(200, 60, seed=1)
    counts = collections.Counter((a.signal, a.phase.removesuffix(" again")) for a in attempts)
    assert {counts["SIGKILL", phase] for phase in faults.PHASES} == {50} and sum(counts.values()) == 260
    assert all(7 <= counts[name, phase] <= 8 for name in ("SIGTERM", "SIGINT") for phase in faults.PHASES)
    shares = sorted(a.share for a in attempts if (a.signal, a.phase) == ("SIGKILL", "training"))
    assert all(place / 50 <= share < (place + 1) / 50 for place, share in enumerate(shares))
    assert {a.phase for a in attempts} == {*faults.PHASES, "evaluation again"}


def test_known_attempts_are_not_made_again(tmp_path: Path):
    attempts, state = faults.planned(8, 0, seed=0), tmp_path / "state"
    lines = [{**vars(attempt), "at": "step 3", "fault": ""} for attempt in attempts[:3]]
    other = {**vars(faults.planned(8, 0, seed=1)[0]), "at": "", "fault": "x"}
    state.write_text("".join(json.dumps(line) + "\n" for line in (*lines, other, lines[0] | {"fault": "status 1: x"})))
    known = faults.lines_of(state, attempts)
    assert {line["number"] for line in known} == {attempt.number for attempt in attempts[:3]}
    assert [line["fault"] for line in known] == ["status 1: x", "", ""]  # the last line about each
    assert "| all | | 3 | 3 | 3 | 2 |" in faults.page(known, "x")


def set_command(monkeypatch: pytest.MonkeyPatch, work: Callable[[Path], None]) -> None:
    """Makes all commands of the pipeline a function of their folder, in a forked process."""

    def become(program: str, words: Sequence[str], folder: Path, out: Path, err: Path) -> None:
        for path in (out, err):
            path.touch()
        try:
            work(folder)
        finally:
            os._exit(0)

    monkeypatch.setattr(small_pipeline, "_become", become)


def test_a_command_that_does_not_go_on_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def work(folder: Path) -> None:
        run = folder / "run"
        stages = folder / "data/subjects/clip/stages"
        stages.mkdir(parents=True, exist_ok=True)
        (stages / "frames.json").write_text(str(time.monotonic_ns()))  # again and again, and never the same
        run.mkdir(exist_ok=True)
        manifest = Manifest("", "", None, step=4)
        manifest.save(run)
        if not (run / "begun").exists():
            (run / "begun").touch()
            time.sleep(30)

    set_command(monkeypatch, work)
    monkeypatch.setattr(small_pipeline, "contents", lambda folder: {"a": "1"})
    attempt = faults.Attempt(0, 0, "SIGKILL", "training", 1.0)
    found = faults.outcome(attempt, faults.Start(None, 0.5, {"a": "2"}), tmp_path / "place")
    assert found["at"] == "step 4"
    assert "other files: ['a']" in found["fault"] and "did not go on after step 4" in found["fault"]
    assert "made again: ['data/subjects/clip/stages/frames.json']" in found["fault"]


def test_a_command_that_ends_before_it_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    set_command(monkeypatch, lambda folder: None)
    attempt = faults.Attempt(0, 0, "SIGKILL", "training", 100.0)  # of its time: it always ends before
    found = faults.outcome(attempt, faults.Start(None, 0.5, {}), tmp_path / "place")
    assert found["fault"] == "the command always ended before it was stopped"


@pytest.mark.parametrize(
    ("name", "content", "timed", "other"),
    [
        ("timing.json", {"steps": 3, "train_s": 1.0}, {"steps": 3, "train_s": 2.0}, {"steps": 4, "train_s": 1.0}),
        (
            "metrics.json",
            {"each": [{"a": 1, "render_ms": 1}]},
            {"each": [{"a": 1, "render_ms": 2}]},
            {"each": [{"a": 2}]},
        ),
        ("manifest.json", {"files": {"a": "1", "x/metrics.json": "1"}}, {"files": {"a": "1"}}, {"files": {"a": "2"}}),
        (
            "stages/masks.json",
            {"settings": 1, "inputs": {"a": [1, 2, "3"], "stages/x.json": [1, 1, "1"]}, "outputs": {}},
            {"settings": 1, "inputs": {"a": [1, 9, "3"]}, "outputs": {}},
            {"settings": 1, "inputs": {"a": [1, 2, "4"]}, "outputs": {}},
        ),
    ],
)
def test_only_times_may_differ(tmp_path: Path, name: str, content, timed, other):
    path, found = tmp_path / name, []
    path.parent.mkdir(exist_ok=True)
    for value in (content, timed, other):
        files.save_json(path, value)
        found.append(small_pipeline.contents(tmp_path))
    assert found[0] == found[1] and small_pipeline.differences(found[0], found[2]) == [name]


def test_logs_but_for_the_time_of_rendering(tmp_path: Path):
    found = []
    for value, milliseconds in ((1, 5), (1, 6), (2, 5)):
        (tmp_path / "metrics.csv").write_text(f"heldout/psnr,heldout/render_ms\n{value},{milliseconds}\n")
        found.append(small_pipeline.contents(tmp_path))
    assert found[0] == found[1] != found[2]


def test_reports_but_for_their_words(tmp_path: Path):
    """The report of a run states times; that of preprocessing does not."""
    for folder, words_count in (("evaluation", False), ("toy", True)):
        path, found = tmp_path / folder / "report.html", []
        path.parent.mkdir()
        for words, picture in (("5 s", "AAAA"), ("6 s", "AAAA"), ("5 s", "BBBB")):
            path.write_text(f'<img src="data:image/jpeg;base64,{picture}"> {words}')
            found.append(small_pipeline.contents(tmp_path))
        assert (found[0] != found[1]) is words_count and found[0] != found[2]
