"""The speed benchmark's arithmetic and tables, with a fake train.py."""

import json
import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import speed
from hashhuman.io.files import write_image
from tests.processes import PATIENCE

PACE = {"now": 0.05, "before": 0.2}  # seconds a step


@pytest.fixture
def scene(tmp_path) -> Path:
    """The part of a scene that the script reads."""
    write_image(tmp_path / "s7/images/00/000000.png", np.zeros((64, 48, 3), np.uint8))
    (tmp_path / "s7/scene.json").write_text('{"frames": 60}')
    return tmp_path / "s7"


@pytest.fixture
def played(monkeypatch, tmp_path) -> list[list[str]]:
    """Replaces train.py by a fake that gains a decibel for each doubling of the steps. Returns the command lines."""
    lines = []

    def run(line, check, cwd, env, stdout):
        assert check and env["PYTHONPATH"].split(os.pathsep) == [str(Path(cwd) / "src"), "/elsewhere"]
        lines.append(line)
        options = dict(word.split("=", 1) for word in line[2:])
        pace = PACE["before" if "old" in str(cwd) else "now"]
        steps = int(options.get("trainer.max_steps", 0)) or round(float(options["budget_s"]) / pace)
        folder = Path(options["run_dir"])
        (folder / "evaluation").mkdir(parents=True)
        mean = {"psnr_full": 20 + math.log2(steps), "psnr_box": 15.0, "ssim_box": 0.9, "halo": 0}
        report = {"splits": {"novel_view": {"pictures": 3, "mean": mean}, "novel_pose": {"pictures": 0, "mean": {}}}}
        timing = {"setup_s": 3.0, "train_s": steps * pace, "validation_s": 0.0, "steps": steps, "processes": 1,
                  "device": "Fake GPU (80 GB)", "peak_gpu_bytes": 2**31}  # fmt: skip
        (folder / "evaluation/metrics.json").write_text(json.dumps(report))
        (folder / "timing.json").write_text(json.dumps(timing))

    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setattr(speed.subprocess, "run", run)
    monkeypatch.setattr(speed, "train_here", speed.train)
    return lines


def rows(*words) -> list[dict]:
    arguments = speed.parsed([str(word) for word in words])
    return list(getattr(speed, arguments.part)(arguments))


def test_the_curve_has_one_run_per_time_budget(scene, played):
    found = rows("curve", scene, "--budgets", 1, 10, "--", "seed=3")
    assert [row["budget"] for row in found] == [1, 10]
    assert found[1]["novel_view psnr_full"] == pytest.approx(20 + math.log2(200)) and found[1]["peak_gib"] == 2
    assert not any(name.startswith("novel_pose") for name in found[0])  # without pictures
    assert all(f"data.root={scene}" in line and line[-1] == "seed=3" for line in played)
    assert "budget_s=10" in played[1] and "metrics.lpips=null" in played[1]


def test_settings_beyond_the_scene_are_not_varied(scene, played):
    found = rows("memory", scene, "--rays", 512, 1024)
    varied = [(row["varied"], row["value"]) for row in found]
    assert varied == [("data.train_frames", 50), ("data.ray_sampler.n_rays", 512), ("data.ray_sampler.n_rays", 1024)]
    assert {row["peak_gib"] for row in found} == {2}
    assert [(row["frames"], row["distinct_frames"], row["size"]) for row in found] == [(n, n, 64) for n in (50, 60, 60)]
    (found,) = rows("memory", scene, "--frames", "--rays", "--sizes", 48, 128)
    assert found["value"] == 48


def test_the_whole_scene_comes_last(scene, played):
    (scene / "scene.json").write_text('{"frames": 60, "distinct_frames": 40}')
    base = ("--base-frames", 30, "--base-size", 32, "--", "data.max_size=5")
    found = rows("costs", scene, "--psnr", 20, "--frames", 50, "--sizes", 48, "--rays", 512, *base)
    columns = ("varied", "value", "frames", "distinct_frames", "size")
    assert [tuple(row[name] for name in columns) for row in found] == [
        ("data.train_frames", 50, 50, 40, 32),
        ("data.max_size", 48, 30, 30, 48),
        ("data.ray_sampler.n_rays", 512, 30, 30, 32),
        ("frames and size", None, 60, 40, 64),
    ]
    for row, line in zip(found, played):
        options = dict(word.split("=", 1) for word in line[2:])  # the last of several counts
        assert options["data.max_size"] == str(row["size"]) and options["data.train_frames"] == str(row["frames"])
    assert "data.ray_sampler.n_rays=512" in played[2] and found[3]["peak_gib"] == 2


def test_time_to_a_psnr_lies_between_two_runs(scene, played):
    (row,) = rows("costs", scene, "--psnr", 25.5, "--frames", 50, "--rays", "--sizes")
    assert row["ms_a_step"] == pytest.approx(50)
    assert row["s_to_25.5_db"] == pytest.approx(2**5.5 * 0.05, rel=0.05)  # a decibel a doubling
    assert len(played) == 4  # 0.5, 1, 2 seconds are not enough, 4 are


def test_reached():
    assert speed.reached([(1, 20), (4, 24)], 22) == pytest.approx(2)  # halfway on the logarithm
    assert speed.reached([(1, 20), (4, 24)], 25) is None and speed.reached([], 25) is None
    assert speed.reached([(3, 26)], 25) == 3


def test_the_cpu_against_an_earlier_revision(scene, played, tmp_path):
    (tmp_path / "old").mkdir()
    now, before = rows("cpu", scene, "--before", tmp_path / "old", "--psnr", 26, "--steps", 16)
    assert (now["revision"], before["revision"]) == ("now", "before") and now["ratio"] == 1
    assert before["ratio"] == pytest.approx(4) and now["steps"] == before["steps"] == 64
    assert now["s_to_26_db"] == pytest.approx(64 * 0.05)
    (alone,) = rows("cpu", scene, "--psnr", 99, "--steps", 16, "--most-steps", 32)
    assert alone["s_to_99_db"] is None and alone["ratio"] is None


def test_ddp_takes_the_same_steps(scene, played):
    one, two = rows("ddp", scene, "--steps", 40)
    assert one["steps"] == two["steps"] == 40 and one["steps_a_second"] == pytest.approx(20)
    assert "trainer=ddp" not in played[0] and "trainer.devices=2" in played[1]


def test_the_time_of_the_metrics_table(tmp_path, monkeypatch):
    """The program succeeds only if the clock is read while it still runs, and only its first table counts."""
    read = tmp_path / "read"
    script = (
        "import os, time\nprint('  means, on cpu', flush=True)\n"
        f"for _ in range({100 * PATIENCE:.0f}):\n    if os.path.exists({str(read)!r}): break\n    time.sleep(0.01)\n"
        "else: raise SystemExit(9)\nprint('means, on cpu')"
    )
    readings = iter([7.0, 8.0])
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: read.touch() or next(readings)))
    assert speed._until_metrics([sys.executable, "-c", script]) == 7.0
    with pytest.raises(SystemExit, match="status 3"):
        speed._until_metrics([sys.executable, "-c", "print('means, on x'); raise SystemExit(3)"])
    with pytest.raises(SystemExit, match="status 0"):
        speed._until_metrics([sys.executable, "-c", "pass"])


def test_every_part_is_a_function_and_has_a_title():
    for part in speed.TITLES:
        assert callable(getattr(speed, part)) and speed.parsed([part, "x"]).part == part
