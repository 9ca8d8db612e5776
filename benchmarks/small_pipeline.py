"""The whole pipeline on six pictures: its commands, processes that start fast, and what of its files must be equal.

`faults.py` interrupts it, and `repetitions.py` repeats it. Both compare files byte by byte. What states times, or the
hashes of such files, is compared without these entries (`comparable`).
"""

import contextlib
import csv
import hashlib
import importlib
import io
import json
import os
import re
import runpy
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SUBJECT, RUN = Path("data/subjects/clip"), Path("run")

CLIP = (
    "video=demo", "subject=clip", "preprocess.frames.start=20", "preprocess.frames.stop=50", "preprocess.frames.step=5",
    "preprocess.frames.max_size=192", "preprocess.gate=false", "preprocess.keypoints.pictures=2",
    "preprocess.keypoints.mirror=false", "preprocess.masks.pictures=2", "preprocess.body_fit.pictures=2",
    "preprocess.body_fit.surface=200",
    "preprocess.body_fit.stages=[{steps: 12, weights: {points: 1, world: 0.1, shape: 0.003}, "
    "free: {root: 0.02, pose: 0.02, pelvis: 0.01, shape: 0.1}}]",
    "preprocess.report.columns=2", "preprocess.report.row_height=96", "preprocess.report.video_height=96",
)  # fmt: skip
TRAINING = (
    "data=monocular", *CLIP, "experiment=cpu", "run_dir=run", "trainer.max_steps=60", "data.max_size=96",
    "data.holdout_every=3", "data.batches_per_epoch=25", "data.val_views=1", "data.ray_sampler.n_rays=128",
    "encoder.n_levels=3", "encoder.log2_hashmap_size=9", "encoder.finest_voxel=0.02", "field.width=16",
    "renderer.sampler.step=0.06", "renderer.sampler.per_bin=2", "renderer.occupancy.resolution=16",
    "neighbors.max_points=300", "neighbors.voxel=0.06", "metrics.lpips=null", "log_every=5", "avatar.prune_after=20",
    "avatar.prune_every=10", "callbacks.carve.read_after=20", "callbacks.carve.read_every=10",
    "callbacks.checkpoint.every_steps=10", "eval.most=2", "eval.products.images.pictures=all",
    "eval.products.turntable.views=4", "eval.products.turntable.height=64", "eval.products.canonical.views=2",
    "eval.products.canonical.height=64",
)  # fmt: skip
EXPORT = (
    "run=run", "format=[glb,html,bvh,npz,ply,obj]", "faces=600", "export.rigging.surface.voxel=0.03", "device=cpu",
    "export.rigging.baking.texel=0.03", "export.rigging.baking.views=2",
)  # fmt: skip
COMMANDS = {  # phase: program and its arguments
    "preprocessing": ("preprocess", CLIP),
    "training": ("train.py", TRAINING),
    "evaluation": ("train.py", TRAINING),
    "evaluation again": ("eval.py", ("run=run", "device=cpu")),
    "export": ("hashhuman.export", EXPORT),
}


@dataclass
class Process:
    """A command that runs, or has ended."""

    pid: int
    begun: float  # by time.monotonic
    out: Path
    err: Path
    status: int | None = None  # as the shell would say: 128 and the signal's number for a process that it ended

    def ended(self) -> bool:
        """Whether it has ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self.status = code if code >= 0 else 128 - code
        return self.status is not None

    def wait(self, until: Callable[[], bool] = lambda: False, seconds: float = float("inf")) -> float:
        """Waits until it has ended, something holds, or it has run for some seconds. Returns its seconds so far."""
        while not self.ended() and not until() and time.monotonic() - self.begun < seconds:
            time.sleep(0.002)
        return time.monotonic() - self.begun


def start(phase: str, folder: Path) -> Process:
    """Starts the command of a phase in a folder, in a forked process that need not import anything first."""
    program, words = COMMANDS[phase]
    out, err = Path(f"{folder}.out"), Path(f"{folder}.err")
    sys.stdout.flush()
    begun, pid = time.monotonic(), os.fork()
    if pid == 0:
        _become(program, words, folder, out, err)
    return Process(pid, begun, out, err)


def _become(program: str, words: Sequence[str], folder: Path, out: Path, err: Path) -> None:
    """Is the command: never returns."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background jobs are begun to ignore it
        os.chdir(folder)
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv[:] = [program, *words]
        if program.endswith(".py"):
            runpy.run_path(str(ROOT / program), run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        if listed := os.environ.get("MODULES"):
            Path(listed).write_text("\n".join(sys.modules))
        os._exit(status)


def finished(phase: str, folder: Path) -> float:
    """Runs the command of a phase to its end. Returns its seconds; raises RuntimeError if it fails."""
    process = start(phase, folder)
    seconds = process.wait()
    if process.status:
        raise RuntimeError(f"{phase} ended with {process.status}:\n{process.out.read_text()}{process.err.read_text()}")
    return seconds


def import_what(phase: str, folder: Path) -> None:
    """Runs a phase, and imports into this process what it imported, so that those that follow find it there."""
    with tempfile.NamedTemporaryFile("r") as listed:
        os.environ["MODULES"] = listed.name
        finished(phase, folder)
        del os.environ["MODULES"]
        for name in Path(listed.name).read_text().split("\n"):
            if name and name not in sys.modules and not name.startswith(("__", "hydra_plugins")):
                with contextlib.suppress(Exception):  # a name that a package has given to something else
                    importlib.import_module(name)


def replace(folder: Path, source: Path | None) -> None:
    """Makes a folder a copy of another one, or empty. Configs hold absolute paths, so that places must be the same."""
    shutil.rmtree(folder, ignore_errors=True)
    if source is None:
        folder.mkdir()
    else:
        shutil.copytree(source, folder)


def contents(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file's `comparable` content, by its path. Decoded pictures (`cache/`) may be deleted."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent != folder / SUBJECT / "cache")
    return {str(path.relative_to(folder)): hashlib.sha256(comparable(path)).hexdigest() for path in paths}


def differences(mine: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """The files that are not in both, or not equal."""
    return sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))


def comparable(path: Path) -> bytes:
    """A file's bytes; without what states times, or the hash of a file that does."""
    if path.name in _TIMED:
        return _TIMED[path.name](path)
    if _is_report(path):
        return b"\n".join(re.findall(rb'"(data:[^"]+)"', path.read_bytes()))  # its pictures and videos
    if path.parent.name == "stages" and path.suffix == ".json":
        return _stamp(path)
    return path.read_bytes()


def _is_report(path: Path) -> bool:
    """Whether it is the page of an evaluation; that of a subject states no times."""
    return path.name == "report.html" and "evaluation" in path.parts


def _timing(path: Path) -> bytes:
    content = json.loads(path.read_text())
    return json.dumps({k: v for k, v in content.items() if not k.endswith("_s") and k != "marks"}).encode()


def _metrics(path: Path) -> bytes:
    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: without(v) for k, v in value.items() if k != "render_ms"}
        return [without(item) for item in value] if isinstance(value, list) else value

    return json.dumps(without(json.loads(path.read_text()))).encode()


def _log(path: Path) -> bytes:
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    return json.dumps([{k: v for k, v in row.items() if k.rpartition("/")[2] != "render_ms"} for row in rows]).encode()


def _manifest(path: Path) -> bytes:
    content = json.loads(path.read_text())
    timed = {k for k in content["files"] if Path(k).name in _TIMED or _is_report(Path(k))}
    content["files"] = {k: v for k, v in content["files"].items() if k not in timed}
    return json.dumps(content).encode()


def _stamp(path: Path) -> bytes:
    """The stamp of a stage has size, time of change and SHA-256 of each file; the report's also those of stamps."""
    stamp = json.loads(path.read_text())
    parts = {
        part: {name: [entry[0], entry[2]] for name, entry in stamp[part].items() if not name.startswith("stages/")}
        for part in ("inputs", "outputs")
    }
    return json.dumps([stamp["settings"], parts]).encode()


_TIMED = {
    "timing.json": _timing,
    "metrics.json": _metrics,
    "metrics.csv": _log,
    "pictures.csv": _log,
    "manifest.json": _manifest,
}
TIMED = (
    "timing.json (seconds), metrics.json, metrics.csv and pictures.csv (render_ms), a run's report.html (both), "
    "manifest.json (hashes of these), stages/*.json (times of change)"
)
