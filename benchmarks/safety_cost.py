"""Compares the steps that a training takes in a time budget with and without what makes it safe to interrupt.

    python benchmarks/safety_cost.py [--pairs 5] [--seconds 10] [--every S] [--out FILE.md] [-- OVERRIDES ...]

Both trainings of a pair follow each other, in turn the one or the other first, so that what the machine does meanwhile
falls on both. The one is as users have it: it saves checkpoints (every 20 s, or every `--every` seconds), hashes what
it reads and writes, and locks its folder. The other one has no checkpoints, and hashes and locks do nothing. `budget_s`
does not count what a checkpoint makes training wait, so that the ratio is also printed with that time counted. The
scene is `data=synthetic` unless the overrides name another.
"""

import argparse
import contextlib
import os
import platform
import runpy
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.tables import finish, markdown  # noqa: E402
from hashhuman.io import files, lock  # noqa: E402

QUICK = (
    "data=synthetic", "eval.splits=[]", "eval.products.turntable=null", "eval.products.canonical=null",
    "metrics.lpips=null", "data.val_views=0",
)  # fmt: skip
BARE = "--bare"


def bare(words: Sequence[str]) -> None:
    """Trains without hashes and locks, in this process."""
    from hashhuman.training import resume
    from hashhuman.training.manifest import Manifest

    changed: dict[tuple[Any, str], Any] = {
        (lock, "alone"): lambda *_, **__: contextlib.nullcontext(),
        (resume, "check_subject"): lambda *_: None,
        (Manifest, "add"): lambda *_: None,
    }
    for (owner, name), function in changed.items():
        setattr(owner, name, function)
    sys.argv[:] = ["train.py", *words, "callbacks.checkpoint=null"]
    runpy.run_path(str(ROOT / "train.py"), run_name="__main__")


def timing(place: Path, name: str, safe: bool, words: Sequence[str]) -> dict[str, Any]:
    """Trains in a process of its own, and returns its `timing.json`."""
    program = [str(ROOT / "train.py")] if safe else [__file__, BARE]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    line = [sys.executable, *program, *words, f"run_dir={place / name}"]
    subprocess.run(line, cwd=place, env=environment, check=True, stdout=subprocess.DEVNULL)
    return files.load_json(place / name / "timing.json")


def main() -> None:
    """Trains, compares, prints."""
    if sys.argv[1:2] == [BARE]:
        bare(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--every", type=float, help="seconds between two checkpoints, instead of the default")
    parser.add_argument("--out", type=Path, help="the markdown file to write")
    parser.add_argument("overrides", nargs="*", help="of train.py")
    options = parser.parse_args()
    words = [*QUICK, f"budget_s={options.seconds:g}", *options.overrides]
    rows, ratios, counted = [], [], []
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary).resolve()
        timing(place, "warm", True, [*words, "budget_s=1"])  # renders the scene, and compiles kernels
        for pair in range(options.pairs):
            found = {}
            for safe in (True, False) if pair % 2 else (False, True):
                more = [f"callbacks.checkpoint.every_s={options.every:g}"] if safe and options.every else []
                found[safe] = timing(place, f"{pair}_{safe}", safe, [*words, *more])
            mine, theirs = found[True], found[False]
            ratios.append(mine["steps"] / theirs["steps"])
            counted.append(ratios[-1] * theirs["train_s"] / (mine["train_s"] + mine["checkpoint_s"]))
            rows.append([
                str(pair + 1), str(mine["steps"]), str(theirs["steps"]), f"{ratios[-1]:.4f}",
                f"{mine['checkpoint_s']:.3f}", f"{counted[-1]:.4f}",
            ])  # fmt: skip
            print(" | ".join(rows[-1]), flush=True)
    mean = [f"{statistics.fmean(values):.4f}" for values in (ratios, counted)]
    rows += [["mean", "", "", mean[0], "", mean[1]]]
    middle = [f"{statistics.median(values):.4f}" for values in (ratios, counted)]
    rows += [["median", "", "", middle[0], "", middle[1]]]
    heads = ["pair", "steps, safe", "steps, bare", "ratio", "s of checkpoints", "ratio with these counted"]
    shown = " ".join(["python benchmarks/safety_cost.py", f"--pairs {options.pairs} --seconds {options.seconds:g}"])
    shown += f" --every {options.every:g}" if options.every else ""
    shown += " --" if options.overrides else ""
    shown += "".join(f" {word}" for word in options.overrides if "/" not in word)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()}, CPU"
    text = (
        f"# What it costs to be safe\n\n`{shown}`, on {device}, torch {torch.__version__}\n\n{markdown(heads, rows)}\n"
    )
    finish(text, options.out, False)


if __name__ == "__main__":
    main()
