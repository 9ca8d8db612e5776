"""Measures the phases of `python train.py ...` from the command line to the next prompt, excluding training.

    python benchmarks/startup.py [--repeat 3] [--cold] [--out FILE.json] [-- overrides of train.py]

Runs train.py as a user does, takes the time when certain functions are called or return, and prints the median of the
repetitions for each phase. Without overrides it trains one step on the project's own small scene. With `--cold` each
repetition is like the first run on a machine: without compiled kernels and cached pictures.
"""

import argparse
import functools
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAMPS = "HASHHUMAN_STAMPS"
NO_PICTURES = ("eval.products.turntable=null", "eval.products.canonical=null")
DEFAULT = ["data=synthetic", "trainer.max_steps=1", *NO_PICTURES, "data.val_views=0"]

# The phases in their order: label, and the function whose call or return ends the phase.
PHASES = (
    ("Python and Hydra", "hydra.main", "call"),
    ("config (imports PyTorch to see whether there is a GPU)", "__main__.main", "call"),
    ("imports: Lightning and ours", "hashhuman.training.run.train", "call"),
    ("subject prepared, evaluator and trainer made", "hashhuman.training.run.build", "call"),
    ("avatar and optimizer built", "hashhuman.training.run.build", "return"),
    ("dry run of kernels, Lightning's start", "hashhuman.data.datamodule.SubjectDataModule.setup", "call"),
    ("pictures decoded or read from the cache", "hashhuman.data.datamodule.SubjectDataModule.setup", "return"),
    ("first step", "hashhuman.training.callbacks.TrainingClock.on_train_batch_end", "call"),
    ("training after it (and validation, checkpoints)", "hashhuman.evaluation.evaluator.Evaluator.__call__", "call"),
    ("evaluation", "hashhuman.evaluation.evaluator.Evaluator.__call__", "return"),
    ("logging of it", "hashhuman.training.run.log_evaluation", "return"),
)
TRAINING = "training after it (and validation, checkpoints)"


def now() -> tuple[float, float]:
    """The wall-clock time and the CPU time of this process (s)."""
    return time.time(), time.process_time()


def stamped(function: Callable, stamps: dict, label: str, when: str) -> Callable:
    """Wraps a function so that the time of its first call or return is noted."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        if when == "call":
            stamps.setdefault(label, now())
        result = function(*args, **kwargs)
        if when == "return":
            stamps.setdefault(label, now())
        return result

    return wrapper


def inside() -> None:
    """Runs train.py in this process and notes the time at the end of each phase."""
    stamps: dict = {}

    def watch(module_name: str) -> None:
        for label, target, when in PHASES:
            owner_name, _, attribute = target.rpartition(".")
            if owner_name == module_name or owner_name.rpartition(".")[0] == module_name:
                owner = importlib.import_module(module_name)
                if owner_name != module_name:
                    owner = getattr(owner, owner_name.rpartition(".")[2])
                setattr(owner, attribute, stamped(getattr(owner, attribute), stamps, label, when))

    sys.argv = [str(ROOT / "train.py"), *sys.argv[1:]]
    sys.path[0] = str(ROOT)
    watch("hydra")
    import train
    from hashhuman.cli import hydra_main, lean_imports

    def main(config) -> None:
        stamps.setdefault(PHASES[1][0], now())
        with lean_imports.without_garbage_collection():  # as train.main does
            importlib.import_module("hashhuman.training.run")
        modules = "training.run", "data.datamodule", "training.callbacks", "evaluation.evaluator"
        for name in (f"hashhuman.{module}" for module in modules):
            watch(name)
        train.main(config)
        Path(os.environ[STAMPS]).write_text(json.dumps(stamps))

    train.register_resolvers()
    hydra_main.run(main, config_path=str(ROOT / "conf"), config_name="train")


def measure(overrides: list[str], cold: bool = False) -> dict[str, tuple[float, float]]:
    """Wall-clock seconds and CPU seconds (of all cores) of each phase of one run."""
    with tempfile.TemporaryDirectory() as folder:
        stamps = Path(folder) / "stamps.json"
        environment = os.environ | {STAMPS: str(stamps)}
        if cold:
            environment["TRITON_CACHE_DIR"] = f"{folder}/kernels"
            overrides = [*overrides, "data.cache_mb=0"]
        command = [sys.executable, __file__, *overrides, f"run_dir={folder}/run"]
        begun, computed = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        ended, after = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
        noted = json.loads(stamps.read_text())
    total = after.ru_utime + after.ru_stime - computed.ru_utime - computed.ru_stime
    ends = [(label, noted[label]) for label, *_ in PHASES] + [("exit", (ended, total))]
    seconds, before = {}, (begun, 0.0)
    for label, end in ends:
        seconds[label], before = (end[0] - before[0], end[1] - before[1]), end
    return seconds


def table(rows: list[dict[str, tuple[float, float]]]) -> str:
    """A markdown table of medians."""
    lines = ["| phase | s | computing |", "|---|---|---|"]
    kept = {label: [row[label] for row in rows] for label in rows[0]}
    kept["**all but training**"] = [
        tuple(sum(cell[i] for label, cell in row.items() if label != TRAINING) for i in (0, 1)) for row in rows
    ]
    for label, cells in kept.items():
        wall, computing = (statistics.median(cell[i] for cell in cells) for i in (0, 1))
        lines.append(f"| {label} | {wall:.2f} | {computing:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="make every run like the first one on the machine")
    parser.add_argument("--out", type=Path, help="write the rows here as JSON")
    known, overrides = sys.argv[1:], DEFAULT
    if "--" in known:
        cut = known.index("--")
        known, overrides = known[:cut], known[cut + 1 :]
    arguments = parser.parse_args(known)
    rows = [measure(overrides, arguments.cold) for _ in range(arguments.repeat)]
    print(f"`python train.py {' '.join(overrides)}`, median of {len(rows)}\n\n{table(rows)}")
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    inside() if STAMPS in os.environ else main()
