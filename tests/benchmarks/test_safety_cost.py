"""The ratio of steps, with and without the time that checkpoints take."""

import sys
from pathlib import Path

import pytest

from benchmarks import safety_cost


def test_the_ratio(monkeypatch: pytest.MonkeyPatch, capsys):
    order = []

    def timing(place: Path, name: str, safe: bool, words) -> dict[str, float]:
        order.append(safe)
        assert ("callbacks.checkpoint.every_s=2" in words) == (safe and name != "warm")
        return {"steps": 990 if safe else 1000, "train_s": 10.0, "checkpoint_s": 0.1 if safe else 0.0}

    monkeypatch.setattr(safety_cost, "timing", timing)
    monkeypatch.setattr(sys, "argv", ["safety_cost.py", "--pairs", "2", "--every", "2"])
    with pytest.raises(SystemExit) as ended:
        safety_cost.main()
    assert ended.value.code == 0 and order == [True, False, True, True, False]  # a run to warm up, then in turn
    assert f"| mean | | | 0.9900 | | {0.99 * 10 / 10.1:.4f} |" in capsys.readouterr().out
