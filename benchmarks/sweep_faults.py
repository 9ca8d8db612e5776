"""A sweep over short videos, some of them sabotaged, in which two jobs are killed, and which is then started again.

    python benchmarks/sweep_faults.py --clips 24 --sabotaged 4 --out benchmarks/results/sweep_faults.md

The videos are small cuts of the demo recording. The sabotaged ones are no video, cut off, without a person, or empty.
One job is killed (SIGKILL) while it prepares its subject, another while it trains. The same command then runs again.
Afterwards every whole clip must have its avatar, and every sabotaged one a sentence; what was finished before must not
have been made again; and no process may have needed more memory than those before it.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import torch

from hashhuman.io.assets import fetch
from hashhuman.training.manifest import Manifest
from preprocess.frames.decode import DEMO_CAMERA

ROOT = Path(__file__).parents[1]
PICTURES, SIDE, RATE = 6, 640, 30  # of a clip; pixels; 1/s
WALKING = 17  # starts of clips in all of whose pictures the person is found; clips of later pictures are refused
SABOTAGE = ("not a video", "cut off", "nobody", "empty")
OPTIONS = (
    "data=monocular", "experiment=cpu", "preprocess.force=false", "preprocess.gate=false", "preprocess.report=null",
    "preprocess.keypoints.mirror=false", "preprocess.keypoints.pictures=1", "preprocess.body_fit.pictures=1",
    "preprocess.masks.pictures=1", "preprocess.body_fit.surface=300",
    "preprocess.body_fit.stages=[{steps:80,weights:{points:1,world:0.1,smooth:0.15,smooth_pose:0.3,limits:0.1,rest:0.06,"
    "shape:0.003,inside:4,contour:4},free:{root:0.02,pose:0.02,pelvis:0.01,shape:0.1}}]",
    "preprocess.frames.max_size=480", "data.max_size=240",
    "encoder.n_levels=3", "encoder.log2_hashmap_size=9", "encoder.finest_voxel=0.02", "field.width=16",
    "renderer.sampler.step=0.06", "renderer.sampler.per_bin=2", "renderer.occupancy.resolution=16",
    "neighbors.max_points=300", "neighbors.voxel=0.06", "metrics.lpips=null", "trainer.max_steps=100",
    "data.batches_per_epoch=50", "data.val_views=1", "callbacks.checkpoint.every_steps=20", "eval.most=1",
    "eval.products.turntable=null", "eval.products.canonical=null", "eval.products.comparisons=null",
)  # fmt: skip


@dataclass
class Watched:
    """One run of the command, as it was seen from outside."""

    status: int
    output: str
    launcher: list[float] = field(default_factory=list)  # memory of the launching process, in turn (MiB)
    peaks: dict[str, float] = field(default_factory=dict)  # most memory of each job (MiB), in their order
    killed: dict[str, str] = field(default_factory=dict)  # phase in which a job was killed


def write_clips(folder: Path, whole: int, sabotaged: int) -> tuple[list[str], dict[str, str]]:
    """Writes the videos. Returns the names of the whole ones, and of the sabotaged ones with what was done to them."""
    folder.mkdir(parents=True)
    with av.open(str(fetch(DEMO_CAMERA))) as recording:
        pictures = [
            frame.to_ndarray(format="rgb24", width=SIDE, height=SIDE * 9 // 16) for frame in recording.decode(video=0)
        ]
    names = [f"clip{i:02d}" for i in range(whole)]
    for i, name in enumerate(names):
        _encode(folder / f"{name}.mp4", pictures[i % WALKING :][:PICTURES])
    bad: dict[str, str] = {}
    for i in range(sabotaged):
        kind = SABOTAGE[i % len(SABOTAGE)]
        path = folder / f"bad{i:02d}.mp4"
        bad[path.stem] = kind
        _encode(path, [np.full_like(pictures[0], 90)] * PICTURES)
        if kind == "not a video":
            path.write_text("This is a letter.\n")
        elif kind == "cut off":
            path.write_bytes(path.read_bytes()[:300])
        elif kind == "empty":
            path.write_bytes(b"")
    return names, bad


def _encode(path: Path, pictures: Sequence[np.ndarray]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "12"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def run(folder: Path, clips: list[str], jobs: int, kill: dict[str, str]) -> Watched:
    """Runs the sweep to its end.

    Args:
        folder: holds videos/; gets the subjects and the sweep.
        clips: names of the videos.
        jobs: how many run at a time.
        kill: phase in which the job of a clip is killed: "preparing" or "training".
    """
    command = [
        sys.executable, str(ROOT / "train.py"), "-m", f"video={','.join(clips)}", f"workspace={folder}",
        "hydra/launcher=joblib", f"hydra.launcher.n_jobs={jobs}", f"hydra.sweep.dir={folder / 'sweep'}", *OPTIONS,
    ]  # fmt: skip
    variables = {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    seen = Watched(0, "")
    with (folder / "output.txt").open("w+") as output:
        process = subprocess.Popen(command, env=os.environ | variables, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            if (memory := _memory(process.pid, "VmRSS")) is not None:
                seen.launcher.append(memory)
            for child, clip in _jobs(process.pid):
                if (memory := _memory(child, "VmHWM")) is not None:
                    seen.peaks[clip] = max(memory, seen.peaks.get(clip, 0))
                if clip in kill and clip not in seen.killed and kill[clip] == _phase(folder, clip):
                    seen.killed[clip] = kill[clip]
                    os.kill(child, signal.SIGKILL)
            time.sleep(0.05)
        output.seek(0)
        seen.status, seen.output = process.returncode, output.read()
    return seen


def _jobs(parent: int) -> list[tuple[int, str]]:
    """The jobs that a process has started: process and clip."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) != parent:
                continue
            command = (path.parent / "cmdline").read_bytes().decode().split("\0")
        except (OSError, ValueError):  # it has ended meanwhile
            continue
        clips = [text.partition("=")[2].strip("'") for text in command if text.startswith("video=")]
        found += [(int(path.parent.name), clip) for clip in clips]
    return found


def _memory(process: int, key: str) -> float | None:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:")), None)


def _phase(folder: Path, clip: str) -> str:
    if (folder / f"sweep/video={clip}/checkpoints").is_dir():
        return "training"
    return "preparing" if (folder / f"subjects/{clip}/stages/keypoints.json").exists() else ""


def _avatar(folder: Path, clip: str) -> int | None:
    """When a clip's avatar was trained (ns); None if it is not finished."""
    place = folder / f"sweep/video={clip}"
    manifest = Manifest.load(place) if place.is_dir() else None
    if manifest is None or not manifest.evaluated:
        return None
    return (place / "checkpoints/last.ckpt").stat().st_mtime_ns


def _stamps(folder: Path) -> dict[Path, int]:
    """When the finished stages were finished (ns)."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("subjects/*/stages/*.json")}


def _sentence(folder: Path, clip: str) -> str:
    lines = (folder / f"sweep/video={clip}/run.log").read_text().strip().splitlines()
    return lines[-1] if lines else ""


def main() -> None:
    """Runs, kills, runs again, checks, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--sabotaged", type=int, default=4, help="of them")
    parser.add_argument("--jobs", type=int, default=2, help="at a time")
    parser.add_argument("--out", type=Path, help="the markdown file to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        whole, bad = write_clips(folder / "videos", arguments.clips - arguments.sabotaged, arguments.sabotaged)
        middle = len(whole) // 2
        clips = [*whole[:middle], *bad, *whole[middle:]]
        kill = {whole[0]: "preparing", whole[-1]: "training"}
        begun = time.monotonic()
        first = run(folder, clips, arguments.jobs, kill)
        done, stamps = {clip: made for clip in whole if (made := _avatar(folder, clip))}, _stamps(folder)
        minutes = [(time.monotonic() - begun) / 60]
        begun = time.monotonic()
        second = run(folder, clips, arguments.jobs, {})
        minutes.append((time.monotonic() - begun) / 60)
        avatars = [clip for clip in whole if _avatar(folder, clip)]
        sentences = {clip: _sentence(folder, clip) for clip in bad}
        again = [clip for clip, made in done.items() if _avatar(folder, clip) != made]
        again += [str(path.relative_to(folder)) for path, made in stamps.items() if _stamps(folder).get(path) != made]
    peaks = [first.peaks[clip] for clip in whole if clip in first.peaks and clip not in kill]
    third = max(1, len(peaks) // 3)
    early, late = float(np.median(peaks[:third])), float(np.median(peaks[-third:]))
    settled = first.launcher[len(first.launcher) // 4 :]
    text = "# A sweep with killed jobs and broken clips\n\n" + "\n".join([
        f"`benchmarks/sweep_faults.py` on {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}: "
        f"{len(clips)} clips, {len(bad)} sabotaged, {arguments.jobs} jobs at a time.",
        "",
        f"| | first run | the same command again |\n|---|---|---|\n"
        f"| minutes | {minutes[0]:.1f} | {minutes[1]:.1f} |\n"
        f"| jobs killed | {', '.join(f'{clip} while {phase}' for clip, phase in first.killed.items())} | |\n"
        f"| avatars | {len(done)} | {len(avatars)} of {len(whole)} |\n"
        f"| exit status | {first.status} | {second.status} |\n"
        f"| finished stages and avatars made again | | {len(again)} |\n"
        f"| memory of a job (peak, median of a third): early, late | {early:.0f} MiB, {late:.0f} MiB | |\n"
        f"| memory of the launcher: early, most | {settled[0]:.0f} MiB, {max(settled):.0f} MiB | |",
        "",
        "Peak memory of each whole job, in their order, but for the killed ones (MiB): "
        + ", ".join(f"{peak:.0f}" for peak in peaks),
        "",
        "| sabotaged clip | what the sweep says |\n|---|---|",
        *(f"| {kind} | {sentences[clip].replace(scratch, '...')} |" for clip, kind in bad.items()),
        "",
    ])  # fmt: skip
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text)
    explained = all(len(said) <= 300 and clip in said for clip, said in sentences.items())
    flat = late < 1.1 * early and max(settled) < 1.1 * settled[0] + 10
    if not (
        len(avatars) == len(whole) and explained and not again and flat and len(first.killed) == 2
        and first.status == second.status == 2 and "Traceback" not in second.output
    ):  # fmt: skip
        print(first.output, second.output, again, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
