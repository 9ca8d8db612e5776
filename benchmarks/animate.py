"""Animates avatars with motion files, and measures how they stand on the ground.

python benchmarks/animate.py RUN [RUN ...] --motions FILE_OR_RUN [...] [--seconds 6] [--amc-fps 30] [--pictures FOLDER]

A foot counts as standing in the frames in which the motion's own toes move slower than 0.2 m/s, in metres of the
avatar, and lie at most 5 cm above their lowest place of the clip. In these frames, "slide" is the mean speed of the
toes along the ground (cm/s): first the motion's own, since recorded feet slide, too, then the avatar's, moved up or
down as a whole, and with planted feet. "Off" is the mean distance (mm) of the lowest vertex from the ground in these
frames, "below" the depth of the deepest vertex of all frames: also of hands that touch the ground.

--pictures: a contact sheet for each run, a row for each motion, rendered from the field.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf

from hashhuman.animate.anatomy import Anatomy, anatomy_of
from hashhuman.animate.animator import Animator
from hashhuman.animate.camera import Orbit
from hashhuman.animate.clip import Clip, clip_of
from hashhuman.animate.ground import Ground
from hashhuman.animate.heights import heights
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
    columns = "subject | motion | s | standing | its slide | slide, moved | planted | off, moved | below"
    print(f"| {columns} | off, planted | below |\n" + "|---" * 11 + "|")
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


def animator_of(given, plant: bool) -> Animator:
    """As `conf/animate/default.yaml` makes it; without planting, a motion is only moved up or down as a whole."""
    return Animator(
        fps=30,
        start=0.0,
        stop=given.seconds,
        retargeting=Retargeting(),
        ground=Ground(plant=plant, still=0.5, low=0.05, least=0.05, fade=0.15),
        camera=Orbit(height=given.height, turns=0.0, azimuth=35.0),
        video=None,
        background=1.0,
        exporter=Exporter([], {}, None, 30.0),
    )


def animated(avatar, datamodule, source: Path, given) -> np.ndarray:
    """Prints a motion's figures and returns its row of pictures."""
    template = datamodule.subject.template()
    clip = clip_at(source, given.amc_fps)
    part = clip.sampled(30, 0.0, given.seconds)
    motions = [animator_of(given, plant).motion(avatar, datamodule, source.stem, clip) for plant in (False, True)]
    slide, standing = figures(part, motions, template)
    deep = [figures_of_ground(motion, template, standing) for motion in motions]
    cells = [datamodule.subject.root.name, source.stem, f"{part.times[-1]:.1f}", f"{standing.mean():.0%}"]
    cells += ["-" if np.isnan(value) else f"{value:.1f}" for value in slide] + [text for pair in deep for text in pair]
    print("| " + " | ".join(cells) + " |", flush=True)
    if not given.pictures:
        return np.zeros((1, 1, 3), np.uint8)
    chosen = spread(range(len(motions[1].times)), COLUMNS)
    images = [image for _, image in animator_of(given, True).pictures(avatar, datamodule, motions[1], chosen)]
    return drawing.caption(np.concatenate(images, 1), source.stem)


def figures(clip: Clip, motions: Sequence[Motion], template) -> tuple[list[float], np.ndarray]:
    """Slides of the clip's own feet and of the motions' (cm/s), and in which frames a foot stands."""
    skeleton = Skeleton.of(template)
    theirs, ours = anatomy_of(clip.names, clip.parents), anatomy_of(skeleton.names, skeleton.parents)
    slides, stands = [[] for _ in range(1 + len(motions))], np.zeros(len(clip.times), bool)
    for side in ("left", "right"):
        toes = upright(clip, theirs, f"{side}_toes") * scale(clip, theirs, skeleton, ours)
        standing = (speed_of(toes, clip.times) < STILL) & (toes[:, 1] < toes[:, 1].min() + LOW)
        own = [motion.joints(skeleton)[:, ours.joints[f"{side}_toes"]] for motion in motions]
        for values, places in zip(slides, [toes, *own]):
            values.append(along_ground(places, clip.times)[standing])
        stands |= standing
    return [100 * np.concatenate(values).mean() if stands.any() else np.nan for values in slides], stands


def figures_of_ground(motion: Motion, template, standing: np.ndarray) -> list[str]:
    """How far the lowest vertex lies from the ground where feet stand, and below it at most (mm)."""
    height = 1000 * heights(motion, template)
    return [f"{np.abs(height[standing]).mean():.0f}" if standing.any() else "-", f"{max(0, -height.min()):.0f}"]


def upright(clip: Clip, anatomy: Anatomy, joint: str) -> np.ndarray:
    """A joint's positions in axes whose second is up: the mean direction of the trunk, apart from the retargeting."""
    trunk = (clip.positions[:, anatomy.spine[-1]] - clip.positions[:, anatomy.joints["pelvis"]]).mean(0)
    up = int(np.abs(trunk).argmax())
    index = anatomy.get(joint)
    place = clip.positions[:, anatomy.joints[joint.replace("toes", "ankle")] if index is None else index]
    return np.sign(trunk[up]) * place[:, [(up + 2) % 3, up, (up + 1) % 3]]


def scale(clip: Clip, theirs: Anatomy, skeleton: Skeleton, ours: Anatomy) -> float:
    def leg(joints, anatomy) -> float:
        line = [anatomy.joints[f"left_{name}"] for name in ("hip", "knee", "ankle")]
        return float(np.linalg.norm(np.diff(joints[line], axis=0), axis=1).sum())

    return leg(skeleton.joints, ours) / leg(clip.positions[0], theirs)


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
