"""The timeline of whole commands."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from benchmarks import whole
from benchmarks.timeline import sitecustomize

ROOT = Path(__file__).parents[2]


def stack(*functions: tuple[str, str]) -> FrameType:
    """The innermost frame of functions (file, name) of which each calls the next."""
    innermost: Callable[[], FrameType] = sys._getframe
    for file, name in reversed(functions):
        names: dict = {"inner": innermost}
        exec(compile(f"def {name}(): return inner()", file, "exec"), names)  # noqa: S102
        innermost = names[name]
    return innermost()


TRAINED = [("/x/train.py", "main"), ("/x/src/hashhuman/training/run.py", "train")]
STEP = ("/y/lightning/pytorch/loops/training_epoch_loop.py", "advance")


@pytest.mark.parametrize(
    ("functions", "stage"),
    [
        (TRAINED[:1], None),
        (TRAINED, "set-up"),
        ([*TRAINED, STEP], "training"),
        ([*TRAINED, STEP, ("/y/lightning/pytorch/loops/evaluation_loop.py", "run")], "validation"),
        ([*TRAINED, STEP, ("<frozen importlib._bootstrap>", "_find_and_load")], "imports"),
        ([*TRAINED, ("/x/preprocess/masks/refine.py", "f"), ("/x/preprocess/frames/decode.py", "g")],
         "preprocessing: masks"),
        ([*TRAINED, ("/x/preprocess/stage.py", "run_stage")], "preprocessing: stamps and the rest"),
        ([("/x/src/hashhuman/run.py", "train"), ("/x/src/hashhuman/evaluation.py", "_show")], "evaluation"),
        ([("/x/src/hashhuman/evaluation/evaluator.py", "f"), ("/x/src/hashhuman/evaluation/turntable.py", "make")],
         "turntable"),
    ],
)  # fmt: skip
def test_the_stage_of_a_stack(functions: list[tuple[str, str]], stage: str | None):
    assert sitecustomize.stage_of(stack(*functions)) == stage


# The main thread spends 0.4 s in a stage, then waits 0.3 s while another thread is in another one.
PROGRAM = """
import threading, time
def made(file, seconds):
    names = {"time": time}
    exec(compile(f"def train(): time.sleep({seconds})", file, "exec"), names)
    return names["train"]
made("/x/preprocess/masks/refine.py", 0.4)()
threading.Thread(target=made("/x/preprocess/keypoints/blazepose.py", 0.3)).start()
made("/x/src/hashhuman/training/run.py", 0.3)()
"""


def test_seconds_of_a_program(tmp_path: Path):
    path = tmp_path / "timeline.json"
    environment = whole.environment(ROOT, path, None)
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, env=environment)
    noted = json.loads(path.read_text())
    seconds = noted["seconds"]
    assert noted["first_step"] is None and noted["reserved_mib"] is None  # it neither trains nor uses a GPU
    assert seconds["preprocessing: masks"][0] > 0.2 and seconds["set-up"][0] > 0.15
    assert seconds["preprocessing: keypoints"][0] == 0 and seconds["preprocessing: keypoints"][2] > 0.15
    assert set(seconds) <= {*whole.STAGES}


def test_memory_of_a_process_and_its_children():
    child = "b = bytearray(100 << 20); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE)
    peaks = whole.Peaks(process.pid)
    try:
        with peaks.watching():
            while whole.resident(process.pid) < 100 << 20:
                assert process.poll() is None
            while peaks.memory < 100 << 20:
                pass
            process.communicate(b"\n")
    finally:
        process.kill()
    assert whole.resident(process.pid) == 0


def test_an_older_checkout_finds_none_of_this_ones_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{tmp_path / 'site'}")
    path = whole.environment(tmp_path / "old", tmp_path / "t.json", None)["PYTHONPATH"].split(":")
    assert path == [str(ROOT / "benchmarks/timeline"), *(str(tmp_path / n) for n in ("old/src", "old", "site"))]


def test_the_page_has_medians_and_their_ratio():
    def row(build: str, seconds: float) -> dict:
        stages = {"training": [seconds / 2, 1.0, 0.0]}
        common = {
            "command": "c",
            "machine": "m",
            "steps": 5,
            "memory_mib": 10.0,
            "gpu_mib": None,
            "psnr": {"heldout": 30},
        }
        return {
            "build": build,
            "seconds": seconds,
            "stages": stages,
            "psnr": {"heldout": 30},
            "picture_ms": {"heldout": 500},
            **common,
        }

    rows = [row("this checkout", s) for s in (10, 12, 90)] + [row("old", s) for s in (30, 24, 6)]
    text = whole.page(rows, ["this checkout", "old"])
    assert "| the whole command (s) | 12.0 | 24.0 |" in text and "| against this checkout | 1.00 | 2.00 |" in text
    assert "| training | 6.0 (1.0) | 12.0 (1.0) |" in text and "| PSNR, heldout (dB) | 30.00 | 30.00 |" in text
    assert "| a picture, heldout (ms) | 500 | 500 |" in text


def test_threads_that_are_looked_at_do_not_run_meanwhile(monkeypatch: pytest.MonkeyPatch):
    """They would go on with variables of their own that the look keeps alive."""
    intervals = []
    monkeypatch.setattr(sitecustomize, "stage_of", lambda frame: intervals.append(sys.getswitchinterval()))
    before = sys.getswitchinterval()
    sitecustomize.stages(threading.main_thread().ident)
    assert intervals and set(intervals) == {sitecustomize.AT_ONCE} and sys.getswitchinterval() == before
