"""Kills a small run at points spread evenly over its time, starts it again, and compares the results.

    python benchmarks/faults.py --kills 20 --signals 6 --out benchmarks/results/faults.md

The run is `train.py data=synthetic`: it renders its subject folder, trains and evaluates. Each time it is ended by
SIGKILL (`--kills`), or by SIGTERM and SIGINT in turn (`--signals`), at a point of its own, and then started again by
the same command until it ends. Compared with a run that nothing stopped: the weights and the step bit by bit, and the
metrics but for the milliseconds of rendering. A restart may repeat no finished phase: what was prepared and trained
stays.
"""

import argparse
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from hashhuman.io import checkpoint, files
from hashhuman.training import run_folder
from hashhuman.training.manifest import Manifest

ROOT = Path(__file__).parents[1]
RUN = (
    "data=synthetic", "experiment=cpu", "source.n_frames=4", "source.n_novel=1", "source.n_cameras=2",
    "source.size=48", "encoder.n_levels=3", "encoder.log2_hashmap_size=9", "encoder.finest_voxel=0.02",
    "field.width=16", "renderer.sampler.step=0.06", "renderer.sampler.per_bin=2", "renderer.occupancy.resolution=16",
    "data.ray_sampler.n_rays=256", "neighbors.max_points=300", "neighbors.voxel=0.06", "metrics.lpips=null",
    "trainer.max_steps=100", "data.batches_per_epoch=40", "avatar.prune_after=20", "avatar.prune_every=10",
    "data.val_views=1", "callbacks.checkpoint.every_steps=10", "eval.most=2", "eval.products.turntable=null",
    "eval.products.canonical=null", "run_dir=run",
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """One interruption, and what came of it."""

    name: str
    after: float  # seconds from the start of the command
    phase: str  # what the run was at
    status: int  # exit status of the interrupted command
    sentence: bool  # whether it said one sentence, where it could
    equal: bool  # whether the final result is that of the uninterrupted run
    repeated: str  # a finished phase that the restart repeated, if there is one


def start(folder: Path) -> subprocess.Popen:
    """Starts the run in a folder, with one thread."""
    variables = {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "train.py"), *RUN]
    return subprocess.Popen(
        command, cwd=folder, env=os.environ | variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def phase(folder: Path) -> str:
    """The phase that a run was stopped in, by what it left."""
    manifest = Manifest.load(folder / "run") if (folder / "run").is_dir() else None
    if manifest is None or not (folder / "data/subjects/synthetic/scene.json").exists():
        return "preparing"
    if not manifest.trained:
        return "training"
    return "finished" if manifest.evaluated else "evaluating"


def result(folder: Path) -> tuple:
    """What must not depend on interruptions."""
    weights = checkpoint.load(folder / "run" / run_folder.CHECKPOINT)
    report = files.load_json(folder / "run/evaluation/metrics.json")
    for split in report["splits"].values():
        for row in (split["mean"], *split["each"]):
            row.pop("render_ms", None)
    return weights["step"], weights["state_dict"], report


def same(mine: tuple, theirs: tuple) -> bool:
    """Whether two results are equal bit by bit."""
    tensors = mine[1].keys() == theirs[1].keys() and all(
        torch.equal(mine[1][name], theirs[1][name]) for name in mine[1]
    )
    return tensors and mine[0] == theirs[0] and mine[2] == theirs[2]


def interrupted(folder: Path, signum: int, after: float, whole: tuple) -> Fault:
    """Interrupts a run, starts it again until it ends, and compares."""
    process = start(folder)
    try:
        process.communicate(timeout=after)
        said = ""
    except subprocess.TimeoutExpired:
        process.send_signal(signum)
        _, said = process.communicate()
    at = phase(folder)
    step = (Manifest.load(folder / "run") or Manifest("", "", None)).step if (folder / "run").is_dir() else 0
    again = start(folder)
    printed, errors = again.communicate()
    if again.returncode:
        raise SystemExit(f"the restart after {signal.Signals(signum).name} at {after:.1f} s failed:\n{printed}{errors}")
    began = re.search(r"going on after step (\d+)", printed)
    repeated = ""
    if at == "training" and step and (began is None or int(began[1]) != step):
        repeated = "training"
    if at in ("evaluating", "finished") and "trained " in printed:
        repeated = "training"
    sentence = signum == signal.SIGKILL or (said.startswith("Stopped by ") and said.count("\n") == 1)
    equal = same(result(folder), whole)
    return Fault(signal.Signals(signum).name, after, at, process.returncode, sentence, equal, repeated)


def table(faults: list[Fault], seconds: float) -> str:
    """A markdown table, one row for each signal and phase."""
    lines = [
        f"`benchmarks/faults.py` on {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}; "
        f"the uninterrupted run takes {seconds:.1f} s. Stopped {len(faults)} times.",
        "",
        "| signal | while | times | equal result | nothing finished was repeated | exit status | one sentence |",
        "|---|---|---|---|---|---|---|",
    ]
    for key in sorted({(fault.name, fault.phase) for fault in faults}):
        some = [fault for fault in faults if (fault.name, fault.phase) == key]
        n, statuses = len(some), sorted({fault.status for fault in some})
        equal, kept, told = (sum(x) for x in zip(*((f.equal, not f.repeated, f.sentence) for f in some)))
        shown = "-" if key[0] == "SIGKILL" else f"{told} of {n}"
        status = ", ".join(map(str, statuses))
        lines.append(f"| {key[0]} | {key[1]} | {n} | {equal} of {n} | {kept} of {n} | {status} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs, interrupts, compares, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--signals", type=int, default=60)
    parser.add_argument("--seconds", type=float, help="stop after about so many seconds, with what was done until then")
    parser.add_argument("--out", type=Path, help="the markdown file to write")
    arguments = parser.parse_args()
    begun, faults = time.monotonic(), []
    with tempfile.TemporaryDirectory() as scratch:
        first = Path(scratch) / "whole"
        first.mkdir()
        clock = time.monotonic()
        process = start(first)
        printed, errors = process.communicate()
        seconds = time.monotonic() - clock
        if process.returncode:
            raise SystemExit(printed + errors)
        whole = result(first)
        plan = [(signal.SIGKILL, (i + 0.5) / arguments.kills) for i in range(arguments.kills)]
        others = (signal.SIGTERM, signal.SIGINT)
        plan += [(others[i % 2], (i + 0.5) / arguments.signals) for i in range(arguments.signals)]
        for signum, share in sorted(plan, key=lambda planned: planned[1] * 7.31 % 1):  # spread, if time ends it early
            if arguments.seconds is not None and time.monotonic() - begun > arguments.seconds:
                break
            folder = Path(scratch) / "interrupted"
            folder.mkdir()
            fault = interrupted(folder, signum, share * seconds, whole)
            print(fault, file=sys.stderr, flush=True)
            if fault.status != 0:  # else the run had ended before the signal was sent
                faults.append(fault)
            shutil.rmtree(folder)
    text = table(faults, seconds)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text)
    if not faults or not all(fault.equal and fault.sentence and not fault.repeated for fault in faults):
        sys.exit(1)


if __name__ == "__main__":
    main()
