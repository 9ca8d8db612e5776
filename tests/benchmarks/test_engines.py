"""The benchmark of other people's engines, without them."""

import argparse
import importlib.metadata
from pathlib import Path

from benchmarks import engines

RESULT = {"scene": "s", "setup_s": 1.0, "train_s": 4.0, "validation_s": 0.0, "steps": 8, "novel_view psnr_full": 30.0}


def test_every_engine_trains_alike(monkeypatch):
    """The same limit and the same options of train.py for each, in turn."""
    asked = []

    def train_here(scene: Path, overrides: list[str]) -> dict:
        asked.append(overrides)
        return RESULT | {"scene": scene.name}

    monkeypatch.setattr(engines, "train_here", train_here)
    monkeypatch.setattr(engines, "version", lambda package: "1.2")
    given = argparse.Namespace(scenes=[Path("a/s1")], steps=50, budget=2.0, seeds=2, overrides=["data.max_size=64"])
    rows = list(engines.encoders(given))
    assert [row["limit"] for row in rows] == ["trainer.max_steps=50"] * 3 + ["budget_s=2"] * 3
    assert [row["engine"] for row in rows[:3]] == ["triton, graph", "triton", "tinycudann 1.2"]
    assert all(row["ms_a_step"] == 500 and "setup_s" not in row and row["scene"] == "s1" for row in rows)
    for overrides in asked:
        engine = {option for option in overrides if option.startswith(("encoder=", "step="))}
        assert len(engine) == 2 and "data.max_size=64" in overrides
    rows = list(engines.neighbors(given))
    assert [(row["seed"], row["engine"]) for row in rows] == [
        (0, "brute"), (0, "pytorch3d 1.2"), (1, "brute"), (1, "pytorch3d 1.2"),
    ]  # fmt: skip
    assert "seed=1" in asked[-1] and "seed=0" in asked[-3]


def test_versions_are_those_installed():
    assert engines.version("numpy") == importlib.metadata.version("numpy")
    assert engines.version("no_such_package") == "of unknown version"
