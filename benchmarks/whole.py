"""Times the whole command, from a video to an avatar with its products, in this checkout and in older ones, in turn.

    python benchmarks/whole.py [--old FOLDER ...] [--clip FILE] [--repeat 3] [--cold] [--json FILE] [--out FILE.md]
                               [-- overrides of train.py]

Every run is `python train.py data=monocular video=CLIP OVERRIDES`, as a user types it, in an empty folder, so that its
subject is made from the start; without `--clip` it is what `make demo` runs after installation. `--old` names the
folder of an older checkout or archive (`git archive 7188aa5 | tar -x -C FOLDER`), and may be given several times.
All checkouts use the packages of this Python and the networks of one folder, `models/` or HASHHUMAN_MODELS. With
`--cold`, loops and kernels are compiled anew in each run, as in the first one on a machine.

The table has the seconds of each stage (medians), by the clock and of computing, and what other threads worked on at
the same time (`timeline/sitecustomize.py`); then the largest resident memory of the process and its children together,
of the GPU by `nvidia-smi`, and the PSNR and the time of evaluated pictures. With `--json`, each run's figures are added
to that file as soon as it ends, and the table is about all runs in it of the same clip and overrides.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.overrides import cut  # noqa: E402
from benchmarks.tables import Row, markdown  # noqa: E402
from hashhuman.io.models_folder import cache_root  # noqa: E402

INTERVAL = 0.1  # s between two looks at the memory
MIB = 1 << 20
STAGES = (
    "start: Python, Hydra, config", "imports", "downloads", "preprocessing: frames", "preprocessing: keypoints",
    "preprocessing: body_fit", "preprocessing: masks", "preprocessing: blend_weights", "preprocessing: quality",
    "preprocessing: report", "preprocessing: stamps and the rest", "set-up", "training", "validation", "evaluation",
    "canonical sheet", "turntable", "exit",
)  # fmt: skip


def resident(pid: int) -> int:
    """Bytes of resident memory of a process and all processes below it; pages that they share count for each."""
    total = 0
    with contextlib.suppress(OSError):  # it has ended
        total = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # a thread has ended
                total += sum(resident(int(child)) for child in children.read_text().split())
    return total


class Peaks(threading.Thread):
    """Watches the memory of a process and its children, and of the GPU, until `stop` is called."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.ended = pid, threading.Event()
        self.memory, self.gpu = 0, None

    def run(self) -> None:
        """Looks at the memory again and again."""
        while not self.ended.wait(INTERVAL):
            self.memory = max(self.memory, resident(self.pid))

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Context during which the peaks are found."""
        query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-lms", "250"]
        smi = subprocess.Popen(query, stdout=subprocess.PIPE, text=True) if shutil.which("nvidia-smi") else None
        self.start()
        try:
            yield
        finally:
            self.ended.set()
            self.join()
            if smi is not None:
                smi.terminate()
                lines = smi.communicate()[0].split()
                self.gpu = max((int(line) for line in lines if line.isdigit()), default=None)


def environment(build: Path, timeline: Path, caches: Path | None) -> dict[str, str]:
    """The environment of one run: nothing of this checkout is found but by its own runs."""
    given = [Path(entry).resolve() for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    kept = [path for path in given if not path.is_relative_to(ROOT)]
    path = [ROOT / "benchmarks/timeline", build / "src", build, *kept]
    changed = {
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "HASHHUMAN_MODELS": str(cache_root().resolve()),
        "HASHHUMAN_TIMELINE": str(timeline),
    }
    if caches is not None:
        changed |= {"TRITON_CACHE_DIR": str(caches / "triton"), "NUMBA_CACHE_DIR": str(caches / "numba")}
    return os.environ | changed


@dataclasses.dataclass(frozen=True)
class Finished:
    """One command that has ended, and what was noted while it ran."""

    begun: float  # s since the epoch
    ended: float
    noted: dict[str, Any]  # what `timeline/sitecustomize.py` wrote
    memory_mib: float  # the largest resident memory of the process and its children together
    gpu_mib: int | None  # the most that the GPU had in use
    run: Path  # the run folder


def watched(build: Path, folder: Path, video: str, overrides: Sequence[str], caches: Path | None = None) -> Finished:
    """Runs the whole command of one checkout in a folder. With `caches`, loops and kernels are cached there.

    Raises SystemExit, with the end of what the command printed, if it fails.
    """
    timeline, log = folder / "timeline.json", folder / "log.txt"
    before = set(folder.glob("outputs/*/*"))
    command = [sys.executable, str(build / "train.py"), "data=monocular", f"video={video}", *overrides]
    with log.open("w") as output:
        begun = time.time()
        process = subprocess.Popen(
            command, cwd=folder, env=environment(build, timeline, caches), stdout=output, stderr=subprocess.STDOUT
        )
        peaks = Peaks(process.pid)
        with peaks.watching():
            status = process.wait()
            ended = time.time()
    if status:
        raise SystemExit(f"{build.name}: status {status}\n{log.read_text()[-9000:]}")
    (run,) = set(folder.glob("outputs/*/*")) - before
    return Finished(begun, ended, json.loads(timeline.read_text()), peaks.memory / MIB, peaks.gpu, run)


def measure(build: Path, video: str, overrides: Sequence[str], cold: bool) -> Row:
    """Runs the whole command of one checkout in an empty folder; what it took.

    Raises SystemExit as `watched` does.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "run")
        folder.mkdir()
        done = watched(build, folder, video, overrides, Path(temporary) if cold else None)
        noted, begun, ended = done.noted, done.begun, done.ended
        training = json.loads((done.run / "timing.json").read_text())
        splits = json.loads((done.run / "evaluation/metrics.json").read_text())["splits"]
    seconds = {name: [wall, computed, beside] for name, (wall, computed, beside) in noted["seconds"].items()}
    rest = seconds.setdefault("exit", [0.0, 0.0, 0.0])
    rest[0] += ended - noted["until"]
    begin = seconds.setdefault(STAGES[0], [0.0, 0.0, 0.0])
    begin[0] += ended - begun - sum(wall for wall, *_ in seconds.values())  # before Python read the timeline's file
    return {
        "seconds": ended - begun,
        "stages": seconds,
        "steps": training["steps"],
        "memory_mib": done.memory_mib,
        "gpu_mib": done.gpu_mib,
        "psnr": {split: found["mean"]["psnr_full"] for split, found in splits.items() if found["mean"]},
        "picture_ms": {split: found["mean"]["render_ms"] for split, found in splits.items() if found["mean"]},
    }


def page(rows: Sequence[Row], builds: Sequence[str]) -> str:
    """The tables of all runs of one command."""
    of = {build: [row for row in rows if row["build"] == build] for build in builds}
    of = {build: found for build, found in of.items() if found}

    def median(found: Sequence[Any]) -> float | None:
        return statistics.median(found) if found and None not in found else None

    def line(name: str, pick: Any, digits: int) -> list[str]:
        figures = {build: median([pick(row) for row in found]) for build, found in of.items()}
        return [name, *("-" if figure is None else f"{figure:.{digits}f}" for figure in figures.values())]

    totals = [
        line("the whole command (s)", lambda row: row["seconds"], 1),
        ["each run (s)", *(", ".join(f"{row['seconds']:.1f}" for row in found) for found in of.values())],
        line("steps of training", lambda row: row["steps"], 0),
        line("largest resident memory (MiB)", lambda row: row["memory_mib"], 0),
        line("largest memory of the GPU (MiB)", lambda row: row["gpu_mib"], 0),
    ]
    for split in dict.fromkeys(split for row in rows for split in row["psnr"]):
        totals.append(line(f"PSNR, {split} (dB)", lambda row, split=split: row["psnr"].get(split), 2))
        totals.append(line(f"a picture, {split} (ms)", lambda row, split=split: row["picture_ms"].get(split), 0))
    new = median([row["seconds"] for row in of.get(builds[0], [])])
    if new is not None and len(of) > 1:
        ratios = (median([row["seconds"] for row in found]) for found in of.values())
        totals.insert(1, [f"against {builds[0]}", *(f"{ratio / new:.2f}" for ratio in ratios if ratio)])
    lines = []
    for stage in STAGES:
        cells = []
        for found in of.values():
            columns = zip(*(row["stages"].get(stage, [0.0, 0.0, 0.0]) for row in found))
            wall, computed, beside = (statistics.median(column) for column in columns)
            cells.append(f"{wall:.1f}" + f" ({computed:.1f}" + (f", beside {beside:.1f})" if beside >= 0.05 else ")"))
        lines.append([stage, *cells])
    heads = ["", *of]
    return "\n\n".join([
        f"`python train.py {rows[0]['command']}`, medians of {min(map(len, of.values()))} runs, {rows[0]['machine']}",
        markdown(heads, totals),
        "Seconds by the clock (of computing; by the clock while the main thread was at another stage):",
        markdown(["stage", *of], lines),
    ])  # fmt: skip


def machine() -> str:
    """The processor's cores and the GPU, in words."""
    cores = f"{len(os.sched_getaffinity(0))} cores"
    if not shutil.which("nvidia-smi"):
        return cores
    names = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
    return f"{names.stdout.splitlines()[0].strip()}, {cores}" if names.stdout.strip() else cores


def arguments(description: str | None, clip: str | None, repeat: int) -> argparse.ArgumentParser:
    """The options of a script that runs checkouts in turn.

    Args:
        description: the script's docstring.
        clip: the default of --clip; None: it must be given.
        repeat: the default of --repeat.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", default=clip, required=clip is None, help="a video file, or demo")
    parser.add_argument("--old", type=Path, action="append", default=[], help="an older checkout; may be repeated")
    parser.add_argument("--repeat", type=int, default=repeat, help="runs of each; 0: only print what --json holds")
    parser.add_argument("--json", type=Path, help="add the figures of each run to this file")
    parser.add_argument("--out", type=Path, help="write the page here")
    return parser


def in_turn(
    given: argparse.Namespace, words: Sequence[str], about: Row, measured: Callable[[Path, str], Row]
) -> tuple[list[Row], list[str]]:
    """Runs all checkouts in turn, as often as asked for. Every finished run is in the JSON at once.

    Args:
        given: values of `arguments`.
        words: what is said of the command after the video.
        about: what else a row says of its run; runs of which another thing is said are left out.
        measured: measures a checkout with a video.

    Returns:
        The rows, old ones of the JSON first, and the names of the checkouts.
    """
    builds = {"this checkout": ROOT} | {folder.name: folder.resolve() for folder in given.old}
    video = str(Path(given.clip).resolve()) if Path(given.clip).exists() else given.clip
    command = " ".join(["data=monocular", f"video={Path(video).name}", *words])
    about = {"command": command, "machine": machine(), **about}
    stored: list[Row] = json.loads(given.json.read_text()) if given.json and given.json.exists() else []
    for _ in range(given.repeat):
        for name, build in builds.items():
            stored.append({"build": name, **about, **measured(build, video)})
            print(f"{name}: {stored[-1]}", file=sys.stderr, flush=True)
            if given.json:
                given.json.write_text(json.dumps(stored, indent=1) + "\n")
    rows = [row for row in stored if all(row[key] == about[key] for key in about)]
    if not rows:
        raise SystemExit(f"There is no run of {command} to show: make --repeat 1 or more.")
    return rows, list(builds)


def main() -> None:
    """Parses the command line, runs the checkouts in turn, prints the table."""
    parser = arguments(__doc__, "demo", 3)
    parser.add_argument("--cold", action="store_true", help="compile loops and kernels in each run")
    known, overrides = cut(sys.argv[1:])
    given = parser.parse_args(known)
    words = [*overrides, *(["(cold)"] if given.cold else [])]
    rows, builds = in_turn(given, words, {}, lambda build, video: measure(build, video, overrides, given.cold))
    names = dict.fromkeys([*builds, *(row["build"] for row in rows)])
    text = page(rows, list(names)) + "\n"
    print(text)
    if given.out:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
