"""The table of a run's phases, on a run of one step."""

import json
import os
import time
from pathlib import Path

import pytest

from benchmarks import startup
from tests.tiny import SMALL, TOY


def test_phases_of_a_real_run(toy_folder):
    overrides = ["data=zju_mocap", f"data.root={toy_folder}", *SMALL, *TOY, "trainer.max_steps=2", "data.cache_mb=0"]
    row = startup.measure([*overrides, "eval.most=1", "data.val_views=0", "data.train_frames=4"])
    assert list(row) == [label for label, *_ in startup.PHASES] + ["exit"]
    assert all(wall >= 0 and computing >= -0.05 for wall, computing in row.values())
    assert row["imports: Lightning and ours"][0] > 0.05
    text = startup.table([row])
    assert text.count("\n") == len(row) + 2 and "**all but training**" in text


def test_the_table_shows_medians_and_leaves_training_out():
    rows = [{"a": (1.0, 0.5), startup.TRAINING: (100.0, 90.0)}, {"a": (3.0, 0.7), startup.TRAINING: (50.0, 40.0)}]
    text = startup.table([*rows, {"a": (2.0, 0.6), startup.TRAINING: (70.0, 60.0)}])
    assert "| a | 2.00 | 0.60 |" in text and "| **all but training** | 2.00 | 0.60 |" in text
    assert f"| {startup.TRAINING} | 70.00 | 60.00 |" in text


def test_only_the_first_call_counts():
    stamps: dict = {}
    called = startup.stamped(lambda x: x + 1, stamps, "call", "call")
    returned = startup.stamped(called, stamps, "return", "return")
    assert returned(1) == 2
    first = dict(stamps)
    time.sleep(0.01)
    assert returned(2) == 3 and stamps == first and stamps["call"][0] <= stamps["return"][0]


def test_a_cold_run_has_empty_caches(monkeypatch):
    ran = []

    def run(command, env, **_):
        ran.append((command, env))
        Path(env[startup.STAMPS]).write_text(json.dumps({label: (time.time(), 0.0) for label, *_ in startup.PHASES}))

    monkeypatch.setattr("subprocess.run", run)
    for cold in (True, False):
        startup.measure(["seed=1"], cold)
    (cold_command, cold_environment), (command, environment) = ran
    assert "data.cache_mb=0" in cold_command and "data.cache_mb=0" not in command
    kernels = Path(cold_environment["TRITON_CACHE_DIR"])
    assert kernels.parent == Path(cold_environment[startup.STAMPS]).parent  # a folder of this run alone
    assert environment.get("TRITON_CACHE_DIR") == os.environ.get("TRITON_CACHE_DIR")


def test_an_incomplete_run_is_an_error(capfd):
    with pytest.raises(startup.subprocess.CalledProcessError):
        startup.measure(["no_such_option=1"])
    assert "no_such_option" in capfd.readouterr().err
