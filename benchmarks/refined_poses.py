"""What `pose=refined` mends: poses of a scene with exact poses are perturbed, and avatars are trained on both.

    python benchmarks/refined_poses.py SCENE [--noise 0 5 10] [--frames 40] [--size 256] [-- OVERRIDES of train.py]

SCENE is a folder in the ZJU-MoCap layout with exact poses. Every joint is turned by smooth noise (degrees, root mean
square of the angle over the frames), the whole body by half of it, and the body is moved by 2 mm per degree along each
axis. The noise changes over `--period` frames, as the error of a fit does, so that a held-out frame has nearly the
error of its neighbours. Its mean over the frames is zero: a joint that is always wrong by the same angle makes another
canonical body and the same pictures, so that no picture can tell.

Columns: PSNR (dB) in the box of held-out frames of the training camera, of the training frames, and of the other
cameras; MPJPE (mm) against the exact poses, of the training frames before and after, and of the held-out frames after.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import CubicSpline

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.overrides import cut  # noqa: E402
from benchmarks.placing import posed_joints  # noqa: E402
from hashhuman.data.subject import Subject, SubjectWriter  # noqa: E402
from hashhuman.pose.corrections import Correction  # noqa: E402
from hashhuman.training import run  # noqa: E402

RESULT = ROOT / "benchmarks/results/refined_poses.md"
HEADS = (
    "noise (degrees)", "pose", "held-out", "training frames", "other cameras", "MPJPE fit", "MPJPE", "held-out MPJPE",
)  # fmt: skip


def perturbed(scene: Path, folder: Path, noise: float, period: int, window: int, seed: int = 0) -> Path:
    """A copy of a scene whose poses are perturbed. Pictures are links."""
    folder.mkdir(parents=True)
    for path in scene.iterdir():
        if path.name in ("smpl_params", "smpl_vertices", "cache", "videos", "truth.npz"):
            continue
        if path.is_dir() and path.name != "smpl_lbs":
            (folder / path.name).symlink_to(path.resolve())
        else:
            (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)
    subject, writer = Subject(scene), SubjectWriter(folder)
    frames, template = subject.posed_frames, subject.template()
    errors = smooth_noise(len(frames), len(template.joints), period, window, seed)
    for frame, (rotation, transl) in zip(frames, errors):
        turn = torch.cat([rotation[:1] / 2, rotation[1:]]) * noise * torch.pi / 180
        writer.write_pose(frame, Correction(turn, 0.002 * noise * transl).of(subject.pose(frame), template.joints[0]))
    return folder


def smooth_noise(
    n_frames: int, n_joints: int, period: int, window: int, seed: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """For each frame, rotations of unit root mean square length and a translation of unit variance along each axis.

    Their means over the first `window` frames are zero.
    """
    knots = np.arange(-period, n_frames + 2 * period, period)
    values = np.random.default_rng(seed).normal(size=(len(knots), n_joints + 1, 3))
    smooth = torch.from_numpy(CubicSpline(knots, values)(np.arange(n_frames))).float()
    smooth = smooth - smooth[:window].mean(0)
    smooth = smooth / smooth[:window].square().mean((0, 2), keepdim=True).sqrt()
    return [(frame[:-1] / 3**0.5, frame[-1]) for frame in smooth]


def train(scene: Path, exact: Subject, folder: Path, overrides: Sequence[str]) -> list[float]:
    """Trains, and returns the figures of a row."""
    line = [sys.executable, "train.py", "data=zju_mocap", f"data.root={scene}", f"run_dir={folder}", *overrides]
    subprocess.run(line, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    splits = json.loads((folder / "evaluation/metrics.json").read_text())["splits"]
    module, data, _ = run.load(folder)
    template = data.subject.template()

    def distance(frame: int, refined: bool) -> float:
        pose = data.subject.pose(frame)
        pose = module.avatar.refined_pose(pose, frame) if refined else pose
        return float((posed_joints(template, pose) - posed_joints(template, exact.pose(frame))).norm(dim=1).mean())

    held = sorted({picture.frame for picture in data.splits["heldout"]})
    errors = [
        1000 * float(np.mean([distance(frame, refined) for frame in frames]))
        for frames, refined in ((data.train_frames, False), (data.train_frames, True), (held, True))
    ]
    return [splits[name]["mean"]["psnr_box"] for name in ("heldout", "train", "novel_view")] + errors


def main() -> None:
    """Trains all runs, prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 5.0, 10.0])
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--period", type=int, default=10)
    parser.add_argument("--most", type=int, default=6, help="the most pictures of each split")
    parser.add_argument("--poses", nargs="+", default=["fixed", "refined"])
    parser.add_argument("--keep", type=Path, help="keep the runs in this folder")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    known, overrides = cut(sys.argv[1:])
    given = parser.parse_args(known)
    lines = ["| " + " | ".join(HEADS) + " |", "| " + " | ".join(["---"] * len(HEADS)) + " |"]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        for noise in given.noise:
            scene = perturbed(given.scene, folder / f"scene_{noise:g}", noise, given.period, given.frames)
            for pose in given.poses:
                options = [
                    f"pose={pose}", f"data.train_frames={given.frames}", f"data.max_size={given.size}",
                    "data.holdout_every=8", "data.test_every=8", "data.val_views=0", f"eval.most={given.most}",
                    "eval.splits=[heldout,train,novel_view]", "metrics.lpips=null", "eval.products.turntable=null",
                    "eval.products.canonical=null",
                ]  # fmt: skip
                options += [option for option in overrides if pose != "fixed" or not option.startswith("pose.")]
                figures = train(scene, Subject(given.scene), folder / f"{pose}_{noise:g}", options)
                cells = [f"{x:.2f}" for x in figures[:3]] + [f"{x:.1f}" for x in figures[3:]]
                lines.append("| " + " | ".join([f"{noise:g}", pose, *cells]) + " |")
                print(lines[-1], flush=True)
    if given.write:
        text = f"# Refined poses\n\n{given.frames} frames of {given.scene.name}, {given.size} pixels, dB and mm.\n\n"
        RESULT.write_text(text + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
