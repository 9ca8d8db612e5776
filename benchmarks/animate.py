"""Animates avatars with motion files, and measures how they stand on the ground.

python benchmarks/animate.py RUN [RUN ...] --motions FILE_OR_RUN [...] [--seconds 6] [--amc-fps 30] [--pictures FOLDER]

A foot counts as standing in the frames in which the motion's own toes move slower than 0.2 m/s, in metres of the
avatar, and lie at most 5 cm above their lowest place of the clip. In these frames, "slide" is the mean speed of the
toes along the ground (cm/s): first the motion's own, since recorded feet slide, too, then the avatar's. "Above" is the
mean height (mm) of the avatar's lowest vertex in them, "below" the deepest vertex of all frames.

--pictures: a contact sheet for each run, a row for each motion, rendered from the field.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf

from hashhuman.animate import poses
from hashhuman.animate.anatomy import Anatomy, anatomy_of
from hashhuman.animate.animator import Animator
from hashhuman.animate.cameras import Orbit
from hashhuman.animate.clip import Clip, clip_of
from hashhuman.animate.readers.read import read
from hashhuman.animate.retarget import Retargeting
from hashhuman.evaluation import drawing
from hashhuman.evaluation.product import spread
from hashhuman.export.exporter import Exporter
from hashhuman.export.motion import Motion, Skeleton, captured
from hashhuman.io.files import write_image
from hashhuman.training import run

STILL, LOW = 0.2, 0.05  # m/s; metres
COLUMNS = 8  # pictures of a motion in the sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--motions", type=Path, nargs="+", required=True)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--amc-fps", type=float, default=30.0)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--height", type=int, default=160)
    given = parser.parse_args()
    print("| subject | motion | s | standing | slide of the motion | slide (cm/s) | above (mm) | below (mm) |")
    print("|---|---|---|---|---|---|---|---|")
    for folder in given.runs:
        module, datamodule, _ = run.load(folder, OmegaConf.create({}))
        rows = [animated(module.avatar, datamodule, source, given) for source in given.motions]
        if given.pictures:
            write_image(given.pictures / f"{folder.name}.png", np.concatenate(padded(rows)))


def clip_at(source: Path, fps: float) -> Clip:
    """The clip of a file, or what a run filmed."""
    if not source.is_dir():
        return read(source, fps if source.suffix == ".amc" else None)
    module, datamodule, _ = run.load(source)
    return clip_of(captured(module.avatar, datamodule, 30.0), Skeleton.of(datamodule.subject.template()))


def animated(avatar, datamodule, source: Path, given) -> np.ndarray:
    """Prints a motion's figures and returns its row of pictures."""
    animator = Animator(
        fps=30,
        start=0.0,
        stop=given.seconds,
        retargeting=Retargeting(),
        camera=Orbit(height=given.height, turns=0, azimuth=35),
        video=None,
        background=1.0,
        exporter=Exporter([], {}, None, 30.0),
    )
    clip = clip_at(source, given.amc_fps)
    motion = animator.motion(avatar, datamodule, source.stem, clip)
    part = clip.sampled(30, 0.0, given.seconds)
    print(
        f"| {datamodule.subject.root.name} | {source.stem} | {figures(part, motion, datamodule.subject.template())} |"
    )
    if not given.pictures:
        return np.zeros((1, 1, 3), np.uint8)
    chosen = spread(range(len(motion.times)), COLUMNS)
    images = [image for _, image in animator.pictures(avatar, datamodule, motion, chosen)]
    return drawing.caption(np.concatenate(images, 1), source.stem)


def figures(clip: Clip, motion: Motion, template) -> str:
    skeleton = Skeleton.of(template)
    theirs, ours = anatomy_of(clip.names, clip.parents), anatomy_of(skeleton.names, skeleton.parents)
    height = poses.heights(motion, template)
    joints = motion.joints(skeleton)
    own, source, stands = [], [], np.zeros(len(height), bool)
    for side in ("left", "right"):
        toes = upright(clip, theirs, f"{side}_toes") * scale(clip, theirs, skeleton, ours)
        speed = speed_of(toes, motion.times)
        standing = (speed < STILL) & (toes[:, 1] < toes[:, 1].min() + LOW)
        own.append(along_ground(joints[:, ours.joints[f"{side}_toes"]], motion.times)[standing])
        source.append(along_ground(toes, motion.times)[standing])
        stands |= standing
    slide = [100 * np.concatenate(values).mean() if stands.any() else np.nan for values in (source, own)]
    above = 1000 * height[stands].mean() if stands.any() else np.nan
    numbers = [f"{motion.times[-1]:.1f}", f"{stands.mean():.0%}", f"{slide[0]:.1f}", f"{slide[1]:.1f}", f"{above:.0f}"]
    return " | ".join([*numbers, f"{max(0, -1000 * height.min()):.1f}"])


def upright(clip: Clip, anatomy: Anatomy, joint: str) -> np.ndarray:
    """A joint's positions in axes whose second is up, found apart from the retargeting: by the trunk's mean direction."""
    trunk = (clip.places[:, anatomy.spine[-1]] - clip.places[:, anatomy.joints["pelvis"]]).mean(0)
    up = int(np.abs(trunk).argmax())
    index = anatomy.get(joint)
    place = clip.places[:, anatomy.joints[joint.replace("toes", "ankle")] if index is None else index]
    return np.sign(trunk[up]) * place[:, [(up + 2) % 3, up, (up + 1) % 3]]


def scale(clip: Clip, theirs: Anatomy, skeleton: Skeleton, ours: Anatomy) -> float:
    def leg(joints, anatomy) -> float:
        line = [anatomy.joints[f"left_{name}"] for name in ("hip", "knee", "ankle")]
        return float(np.linalg.norm(np.diff(joints[line], axis=0), axis=1).sum())

    return leg(skeleton.joints, ours) / leg(clip.places[0], theirs)


def speed_of(places: np.ndarray, times: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.gradient(places, times, axis=0), axis=1)


def along_ground(places: np.ndarray, times: np.ndarray) -> np.ndarray:
    return speed_of(places[:, [0, 2]], times)


def padded(rows: list[np.ndarray]) -> list[np.ndarray]:
    width = max(row.shape[1] for row in rows)
    return [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
