"""Repetitions that differ are found."""

import itertools
import sys
from pathlib import Path

import pytest

from benchmarks import repetitions, small_pipeline


@pytest.mark.parametrize("same", [True, False])
def test_a_file_that_differs_is_named(monkeypatch: pytest.MonkeyPatch, capsys, same: bool):
    calls = itertools.count()

    def command(phase: str, folder: Path) -> float:
        (folder / f"{phase}.mp4").write_text("same" if same or phase != "export" else str(next(calls)))
        return 1.0

    monkeypatch.setattr(small_pipeline, "finished", command)
    monkeypatch.setattr(small_pipeline, "import_what", command)
    monkeypatch.setattr(sys, "argv", ["repetitions.py", "--times", "3"])
    with pytest.raises(SystemExit) as ended:
        repetitions.main()
    assert ended.value.code == (not same)
    said = capsys.readouterr().out
    assert f"| .mp4 | 4 | {int(not same)} |" in said and ("- export.mp4: 2 times" in said) == (not same)
