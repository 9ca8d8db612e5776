"""Measures how fast HashHuman trains and renders; writes one page of tables for each device.

    python benchmarks/speed.py curve SCENE ...     quality against seconds of training, with one run per time budget
    python benchmarks/speed.py total SCENE ...     seconds from the command line to the printed metrics
    python benchmarks/speed.py render SCENE ...    pictures a second, and their quality against the slow path
    python benchmarks/speed.py memory SCENE ...    peak memory against frames, resolution and rays
    python benchmarks/speed.py costs SCENE ...     seconds per step, and to a PSNR, against frames, resolution and rays
    python benchmarks/speed.py cpu SCENE --before CHECKOUT    experiment=cpu against an earlier revision of the project
    python benchmarks/speed.py ddp SCENE ...       one process against several with the same number of steps

A scene is a folder in the ZJU-MoCap layout whose scene.json has the number of training frames. Arguments after `--` are
overrides of train.py. PSNR and SSIM are those of `metrics=strict`, averaged over pictures. Time counts from the first
optimizer step; the time before it is listed as setup. Rows are kept in results/speed_DEVICE.json, from which
results/speed_DEVICE.md is written. Running a part again replaces its rows of the same scenes. For `memory` and `costs`,
larger_scene.py makes scenes with more frames and pixels; `distinct_frames` is the number of different frames.
"""

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.overrides import cut  # noqa: E402
from benchmarks.tables import Book, Row, reproducible  # noqa: E402

METRICS_ALONE = tuple(f"eval.products.{product}=null" for product in ("turntable", "canonical", "comparisons"))
QUICK = (*METRICS_ALONE, "metrics.lpips=null", "data.val_views=0")
COLUMNS = ("psnr_full", "psnr_box", "ssim_box")
TITLES = {
    "curve": "Quality against seconds of training",
    "total": "Seconds from the command line to the printed metrics",
    "render": "Pictures a second, waiting for each",
    "memory": "Peak memory",
    "costs": "Cost of a step, and time to a PSNR of novel views",
    "cpu": "On the CPU, against an earlier revision",
    "ddp": "One process against several",
}


def command(scene: Path, folder: Path, overrides: Iterable[str]) -> list[str]:
    """The command line of one run."""
    return [sys.executable, "train.py", "data=zju_mocap", f"data.root={scene}", f"run_dir={folder}", *overrides]


def train(scene: Path, overrides: Iterable[str], checkout: Path = ROOT) -> Row:
    """Runs train.py on a scene and returns its timing and its means, `novel_view psnr_full` and so on."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        line = command(scene, folder, overrides)
        subprocess.run(line, check=True, cwd=checkout, env=surroundings(checkout), stdout=subprocess.DEVNULL)
        return figures(scene, folder)


def surroundings(checkout: Path) -> dict[str, str]:
    """The environment in which Python imports a checkout instead of an installed revision."""
    inherited = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(checkout / "src"), *([inherited] if inherited else [])])}


def figures(scene: Path, folder: Path) -> Row:
    """A finished run's timing and mean metrics."""
    metrics = folder / "evaluation/metrics.json"
    report = json.loads(metrics.read_text())
    timing = json.loads((folder / "timing.json").read_text())
    peak = timing.pop("peak_gpu_bytes")
    means = {
        f"{split} {column}": result["mean"][column]
        for split, result in report["splits"].items()
        for column in COLUMNS
        if result["pictures"]
    }
    return {"scene": scene.name, **timing, "peak_gib": peak and peak / 2**30, **means}


def train_here(scene: Path, overrides: Iterable[str], keep: Path | None = None) -> Row:
    """Trains like `train`, but in this process, so that imports and compiled kernels of earlier runs are reused.

    The run folder is `keep`, or a temporary one.
    """
    import gc

    import torch
    from hydra import compose, initialize_config_dir

    import train as entry
    from hashhuman.training import run

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    entry.register_resolvers()
    with tempfile.TemporaryDirectory() as temporary, open(os.devnull, "w") as nowhere:
        folder = keep or Path(temporary)
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            config = compose("train", overrides=command(scene, folder, overrides)[2:])
        with contextlib.redirect_stdout(nowhere):
            run.train(config)
        return figures(scene, folder)


def curve(arguments: argparse.Namespace) -> Iterator[Row]:
    """Quality of one run per time budget, with the schedule stretched to it."""
    for scene in arguments.scenes:
        for budget in arguments.budgets:
            yield {"budget": budget} | train_here(scene, [f"budget_s={budget:g}", *QUICK, *arguments.overrides])


def total(arguments: argparse.Namespace) -> Iterator[Row]:
    """Seconds until the metrics are printed and until the command returns, without and with cached pictures."""
    evaluations = {"metrics alone": METRICS_ALONE, "turntable and sheets too": ()}
    for scene in arguments.scenes:
        for what, overrides in evaluations.items() if arguments.pictures else [*evaluations.items()][:1]:
            for cached in (False, True):
                if not cached:
                    for path in (scene / "cache").glob("pixels-*.npz"):
                        path.unlink()
                with tempfile.TemporaryDirectory() as temporary:
                    folder = Path(temporary) / "run"
                    options = [
                        f"budget_s={arguments.budget:g}",
                        f"eval.most={arguments.most}",
                        "eval.splits=[novel_view]",
                    ]
                    started = time.perf_counter()
                    printed = _until_metrics(command(scene, folder, [*options, *overrides, *arguments.overrides]))
                    returned = time.perf_counter() - started
                    timing = json.loads((folder / "timing.json").read_text())
                yield {
                    "scene": scene.name, "evaluated": what, "pictures decoded before": cached,
                    "metrics_printed_s": printed - started, "returned_s": returned, "setup_s": timing["setup_s"],
                    "train_s": timing["train_s"], "steps": timing["steps"], "device": timing["device"],
                }  # fmt: skip


def _until_metrics(line: list[str]) -> float:
    """Runs a command to its end. Returns the time at which it printed the table of metrics."""
    printed = None
    with subprocess.Popen(line, cwd=ROOT, env=surroundings(ROOT), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for said in process.stdout:
            if "means, on" in said and printed is None:
                printed = time.perf_counter()
    if process.returncode or printed is None:
        raise SystemExit(f"{' '.join(line)} ended with status {process.returncode}")
    return printed


def render(arguments: argparse.Namespace) -> Iterator[Row]:
    """Times pictures of a trained avatar on an orbit, and compares novel views with those of the slow path."""
    from benchmarks.rendering import compared, on_an_orbit

    for scene in arguments.scenes:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder)
            train_here(scene, [f"budget_s={arguments.budget:g}", "eval.most=1", *QUICK, *arguments.overrides], run)
            for row in (*on_an_orbit(run, arguments.sizes, arguments.views), compared(run, arguments.compared)):
                yield {"scene": scene.name, **row}


def variations(scene: Path, arguments: argparse.Namespace) -> Iterator[tuple[Row, list[str]]]:
    """Varies one setting at a time as far as the scene allows, then yields the whole scene, each with its overrides."""
    from hashhuman.io.files import read_image

    description = json.loads((scene / "scene.json").read_text())
    size = max(read_image(next((scene / "images").glob("*/*"))).shape)
    whole = {"data.train_frames": description["frames"], "data.max_size": size}
    usual = {"data.train_frames": arguments.base_frames, "data.max_size": arguments.base_size}
    usual = {option: min(value or whole[option], whole[option]) for option, value in usual.items()}
    rays = "data.ray_sampler.n_rays"
    values = {"data.train_frames": arguments.frames, "data.max_size": arguments.sizes, rays: arguments.rays}
    varied = [
        (option, value, usual | {option: value})
        for option, tried in values.items()
        for value in tried
        if value <= whole.get(option, math.inf)
    ]
    if all(usual[option] < whole[option] for option in usual):
        varied.append(("frames and size", None, whole))
    for option, value, chosen in varied:
        frames = chosen["data.train_frames"]
        row = {"varied": option, "value": value, "frames": frames, "size": chosen["data.max_size"]}
        row["distinct_frames"] = min(frames, description.get("distinct_frames", frames))
        yield row, [*QUICK, *arguments.overrides, *(f"{name}={what}" for name, what in chosen.items())]


def memory(arguments: argparse.Namespace) -> Iterator[Row]:
    """Peak memory of a short training."""
    for scene in arguments.scenes:
        for row, overrides in variations(scene, arguments):
            result = train_here(scene, [f"budget_s={arguments.budget:g}", "eval.most=1", *overrides])
            kept = ("scene", "peak_gib", "setup_s", "train_s", "steps", "device")
            yield row | {name: result[name] for name in kept}


def costs(arguments: argparse.Namespace) -> Iterator[Row]:
    """Seconds per step, and to a PSNR.

    Time budgets grow until one reaches the PSNR. The time to the PSNR is interpolated logarithmically between the last
    two.
    """
    for scene in arguments.scenes:
        for row, overrides in variations(scene, arguments):
            tried = []
            for budget in arguments.budgets:
                evaluated = ["eval.splits=[novel_view]", f"eval.most={arguments.most}"]
                result = train_here(scene, [f"budget_s={budget:g}", *evaluated, *overrides])
                tried.append((result["train_s"], result["novel_view psnr_full"]))
                if tried[-1][1] >= arguments.psnr:
                    break
            yield row | {
                "scene": scene.name, "ms_a_step": 1000 * result["train_s"] / result["steps"],
                f"s_to_{arguments.psnr:g}_db": reached(tried, arguments.psnr), "setup_s": result["setup_s"],
                "peak_gib": result["peak_gib"], "device": result["device"],
            }  # fmt: skip


def reached(tried: list[tuple[float, float]], psnr: float) -> float | None:
    """The seconds at which a PSNR is reached, from (seconds, PSNR) of successive runs; None if no run reached it."""
    for i, (seconds, value) in enumerate(tried):
        if value >= psnr:
            if i == 0:
                return seconds
            before, lower = tried[i - 1]
            share = (psnr - lower) / (value - lower)
            return math.exp(math.log(before) + share * (math.log(seconds) - math.log(before)))
    return None


def cpu(arguments: argparse.Namespace) -> Iterator[Row]:
    """Trains both revisions alternately, with twice the steps each time, until both reach the PSNR."""
    checkouts = {"now": ROOT} | ({"before": arguments.before.resolve()} if arguments.before else {})
    options = ["experiment=cpu", "data.max_size=256", "eval.splits=[novel_view]", *QUICK, *arguments.overrides]
    for scene in arguments.scenes:
        tried: dict[str, list[tuple[float, float]]] = {name: [] for name in checkouts}
        steps_to: dict[str, int | None] = dict.fromkeys(checkouts)
        steps = arguments.steps
        while steps <= arguments.most_steps and None in steps_to.values():
            for name, checkout in checkouts.items():
                if steps_to[name] is None:
                    result = train(scene, [f"trainer.max_steps={steps}", *options], checkout)
                    tried[name].append((result["train_s"], result["novel_view psnr_full"]))
                    if tried[name][-1][1] >= arguments.psnr:
                        steps_to[name] = steps
            steps *= 2
        seconds = {name: reached(runs, arguments.psnr) for name, runs in tried.items()}
        for name in checkouts:
            mine, now = seconds[name], seconds["now"]
            yield {
                "scene": scene.name, "revision": name, f"s_to_{arguments.psnr:g}_db": mine,
                "ratio": mine / now if mine and now else None, "steps": steps_to[name], "device": "cpu",
            }  # fmt: skip


def ddp(arguments: argparse.Namespace) -> Iterator[Row]:
    """One process against several, with the same number of steps and of rays per step in total."""
    for scene in arguments.scenes:
        for processes in (1, arguments.processes):
            several = ["trainer=ddp", f"trainer.devices={processes}"] if processes > 1 else []
            row = train(scene, [*several, f"trainer.max_steps={arguments.steps}", *QUICK, *arguments.overrides])
            yield row | {"steps_a_second": row["steps"] / row["train_s"]}


def parsed(words: list[str]) -> argparse.Namespace:
    """Parses the command line."""
    words, overrides = cut(words)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)

    def part(name: str, **options: dict[str, Any]) -> None:
        added = parts.add_parser(name, help=TITLES[name])
        added.add_argument("scenes", nargs="+", type=lambda text: Path(text).resolve())
        added.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
        for option, settings in options.items():
            added.add_argument(f"--{option.replace('_', '-')}", **settings)

    numbers, seconds = {"type": int, "nargs": "*"}, {"type": float, "nargs": "+"}
    varied = {
        "frames": numbers | {"default": [50, 100, 500, 1000]},
        "sizes": numbers | {"default": [256, 512, 1024]},
        "rays": numbers | {"default": [1024, 2048, 4096, 8192, 16384]},
        "base_frames": {"type": int, "help": "frames while other settings vary (default: all of the scene)"},
        "base_size": {
            "type": int,
            "help": "long side of pictures (pixels) while other settings vary (default: unscaled)",
        },
    }
    part("curve", budgets=seconds | {"default": [1, 2, 5, 10, 30, 60]})
    part(
        "total",
        budget={"type": float, "default": 10},
        most={"type": int, "default": 50},
        pictures={"action": argparse.BooleanOptionalAction, "default": True, "help": "also with turntable and sheets"},
    )
    part(
        "render",
        budget={"type": float, "default": 10},
        sizes=numbers | {"default": [512, 1024]},
        views={"type": int, "default": 200},
        compared={"type": int, "default": 20, "help": "novel views that the slow path renders as well"},
    )
    part("memory", budget={"type": float, "default": 3}, **varied)
    part(
        "costs",
        budgets=seconds | {"default": [0.5, 1, 2, 4, 8, 16, 32]},
        psnr={"type": float, "default": 30},
        most={"type": int, "default": 20, "help": "novel views that are evaluated"},
        **varied,
    )
    part(
        "cpu",
        before={"type": Path, "default": None},
        psnr={"type": float, "default": 25},
        steps={"type": int, "default": 25},
        most_steps={"type": int, "default": 1600},
    )
    part("ddp", processes={"type": int, "default": 2}, steps={"type": int, "default": 2000})
    arguments = parser.parse_args(words)
    arguments.overrides = overrides
    return arguments


def main() -> None:
    """Measures one part and prints the tables."""
    arguments = parsed(sys.argv[1:])
    rows = []
    for row in globals()[arguments.part](arguments):
        print(json.dumps(row), file=sys.stderr, flush=True)
        rows.append(row)
    print(Book("speed", TITLES, arguments.results).keep(arguments.part, reproducible(sys.argv[1:]), rows))


if __name__ == "__main__":
    main()
