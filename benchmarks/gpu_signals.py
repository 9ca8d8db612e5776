"""Sends SIGTERM and SIGINT to trainings on a GPU, goes on with them, and compares the results.

    python benchmarks/gpu_signals.py [--times 20] [--references 8] [--workers 7] [--out FILE.md] [-- OVERRIDES ...]

The scene is `data=synthetic`; a step is one CUDA graph. Without a GPU, the preset for the CPU and its eager steps
are used. Some trainings, the references, run without interruption. Each of the others gets a signal at a step of its
own; these steps are spread evenly over training. The command must end with the signal's status (143 or 130) and one
sentence, and list an undamaged checkpoint of the step that the sentence names. Then the same command must go on after
this step, log every step that a reference logs, and reach a reference's PSNR within noise: sums of floats are not in
a fixed order on a GPU, so that references differ, too. Within noise is where a further reference would lie with a
probability of 99.95 % (Student's t), so that all of 20 do with 99 %. On a CPU references are equal, and so must the
results be.

Several trainings run at a time. Exit status 1 if anything else happens.
"""

import argparse
import math
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.tables import finish, markdown  # noqa: E402
from hashhuman.io import files  # noqa: E402
from hashhuman.training.manifest import Manifest  # noqa: E402

SIGNALS = ("SIGTERM", "SIGINT")
FIRST, LAST = 0.15, 0.85  # shares of all steps between which signals are sent
INSIDE = 0.9995  # probability that a reference lies within noise
LEAST = 1e-6  # dB: what the rounding of a mean may differ by


@dataclass(frozen=True)
class Training:
    """The command, but for its run folder."""

    workspace: Path  # where it is run; run folders lie below
    words: Sequence[str]
    steps: int

    def start(self, name: str) -> subprocess.Popen[str]:
        """Starts it in the run folder `name`."""
        paths = [str(ROOT), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
        line = [sys.executable, str(ROOT / "train.py"), *self.words, f"run_dir={self.workspace / name}"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        return subprocess.Popen(
            line, cwd=self.workspace, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            restore_signals=True, preexec_fn=_default_signals,
        )  # fmt: skip

    def whole(self, name: str) -> str:
        """Runs it to its end. Returns what it printed; raises RuntimeError if it fails."""
        process = self.start(name)
        printed, said = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{name} ended with {process.returncode}: {printed[-2000:]}{said[-4000:]}")
        return printed


def _default_signals() -> None:
    """A script's background jobs are begun with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Result:
    """What a finished training has reached."""

    psnr: float  # dB of whole pictures, mean of held-out frames, novel views and novel poses
    logged: tuple[str, ...]  # the steps in its log

    @classmethod
    def of(cls, folder: Path) -> "Result":
        """Reads a run folder."""
        splits = files.load_json(folder / "evaluation/metrics.json")["splits"].values()
        lines = (folder / "logs/metrics.csv").read_text().splitlines()
        place = lines[0].split(",").index("step")
        return cls(
            statistics.fmean(split["mean"]["psnr_full"] for split in splits),
            tuple(line.split(",")[place] for line in lines[1:]),
        )


@dataclass(frozen=True)
class Attempt:
    """A training that was stopped, and went on."""

    signal: str
    step: int  # after which it was saved
    seconds: float  # from the signal to its end
    psnr: float  # dB, in the end
    fault: str  # empty where all is well, but for the PSNR


def attempt(training: Training, number: int, times: int, like: Result) -> Attempt:
    """Stops a training and goes on with it."""
    name, rng = SIGNALS[number % 2], np.random.default_rng(number)
    wanted = training.steps * (FIRST + (LAST - FIRST) * (number + rng.random()) / times)
    folder, faults = training.workspace / f"stopped_{number:02d}", []
    process = training.start(folder.name)
    while process.poll() is None and _step(folder) < wanted:
        time.sleep(0.005)
    time.sleep(rng.random() * 0.2)  # a point between two checkpoints
    sent = time.monotonic()
    process.send_signal(signal.Signals[name])
    _, said = process.communicate()
    seconds = time.monotonic() - sent
    if process.returncode != 128 + signal.Signals[name]:
        faults.append(f"status {process.returncode}: {said[-2000:]}")
    saved = re.findall(rf"^Stopped by {name}: training is saved after step (\d+); go on with ", said, re.MULTILINE)
    if len(saved) != 1 or "Traceback" in said:
        faults.append(f"said {said[-2000:]!r}")
    left = Manifest.existing(folder)
    checkpoint = f"checkpoints/step_{left.step:08d}.ckpt"
    if left.trained or [str(left.step)] != saved or not left.holds(folder, checkpoint):
        faults.append(f"no undamaged checkpoint of step {saved}: the manifest has step {left.step}")
    try:
        printed = training.whole(folder.name)
    except RuntimeError as error:
        return Attempt(name, left.step, seconds, math.nan, "; ".join([*faults, str(error)]))
    if f"going on after step {left.step} " not in printed:
        faults.append(f"did not go on after step {left.step}")
    result = Result.of(folder)
    if result.logged != like.logged:
        faults.append(f"logged the steps {result.logged}, a reference {like.logged}")
    return Attempt(name, left.step, seconds, result.psnr, "; ".join(faults))


def _step(folder: Path) -> int:
    """The step of a run's newest checkpoint."""
    found = Manifest.load(folder) if folder.is_dir() else None
    return 0 if found is None else found.step


def page(command: str, device: str, references: Sequence[Result], attempts: Sequence[Attempt], noise: float) -> str:
    """The table: a row for each training that was stopped."""
    mean = statistics.fmean(result.psnr for result in references)
    values = ", ".join(f"{result.psnr:.4f}" for result in references)
    rows = [
        [
            found.signal, str(found.step), f"{found.seconds:.1f}", f"{found.psnr:.4f}", f"{found.psnr - mean:+.4f}",
            found.fault or ("as a reference" if abs(found.psnr - mean) <= noise else "beyond noise"),
        ]
        for found in attempts
    ]  # fmt: skip
    heads = ["signal", "saved after step", "s from signal to end", "PSNR in the end", "minus references", "result"]
    good = sum(row[-1] == "as a reference" for row in rows)
    return (
        f"# Trainings that a signal stopped\n\n`{command}`, on {device}, torch {torch.__version__}\n\n"
        f"{good} of {len(rows)} ended with status and sentence, left a checkpoint, went on and reached a reference's "
        f"PSNR.\n\nReferences without interruption: {values} dB, mean {mean:.4f} dB; within noise is up to {noise:.4f} "
        f"dB from it. Mean of those that were stopped: {statistics.fmean(found.psnr for found in attempts):.4f} dB.\n\n"
        f"{markdown(heads, rows)}\n"
    )


def main() -> None:
    """Trains, stops, goes on, compares, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="trainings that are stopped")
    parser.add_argument("--references", type=int, default=8, help="trainings that are not")
    parser.add_argument("--workers", type=int, default=7, help="trainings at a time")
    parser.add_argument("--steps", type=int, default=1200, help="of a training")
    parser.add_argument("--out", type=Path, help="the markdown file to write")
    parser.add_argument("overrides", nargs="*", help="of train.py")
    options = parser.parse_args()
    gpu = torch.cuda.is_available()
    words = [
        "data=synthetic", "workspace=data", f"trainer.max_steps={options.steps}", "encoder.log2_hashmap_size=14",
        f"callbacks.checkpoint.every_steps={max(1, options.steps // 24)}", f"step={'graph' if gpu else 'eager'}",
        "metrics.lpips=null", "data.val_views=0", "eval.products.comparisons=null", "eval.products.canonical=null",
        "eval.products.turntable=null", *options.overrides,
    ]  # fmt: skip
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        training = Training(Path(temporary).resolve(), words, options.steps)
        training.whole("first")  # renders the scene, and compiles kernels
        print(f"first: {time.monotonic() - begun:.0f} s", flush=True)
        with ThreadPoolExecutor(options.workers) as pool:
            names = [f"reference_{number:02d}" for number in range(options.references)]
            list(pool.map(training.whole, names))
            references = [Result.of(training.workspace / name) for name in ("first", *names)]
            print(f"references: {time.monotonic() - begun:.0f} s", flush=True)
            waiting = [pool.submit(attempt, training, n, options.times, references[0]) for n in range(options.times)]
            attempts = []
            for future in waiting:
                attempts.append(future.result())
                print(f"{time.monotonic() - begun:.0f} s: {attempts[-1]}", flush=True)
    values = [result.psnr for result in references]
    spread = statistics.stdev(values) * math.sqrt(1 + 1 / len(values))
    noise = max(LEAST, float(stats.t.ppf((1 + INSIDE) / 2, len(values) - 1)) * spread)
    device = torch.cuda.get_device_name() if gpu else f"{platform.machine()}, CPU"
    command = f"python benchmarks/gpu_signals.py --times {options.times} --steps {options.steps}"
    command += "".join(f" {word}" for word in (["--"] if options.overrides else []) + options.overrides)
    bad = any(found.fault or not abs(found.psnr - statistics.fmean(values)) <= noise for found in attempts)
    finish(page(command, device, references, attempts, noise), options.out, bad)


if __name__ == "__main__":
    main()
