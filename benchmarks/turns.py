"""Measures how fitted bones are turned, and what the network for hands says of it, against the ground truth.

    python benchmarks/turns.py SCENE [SCENE ...] [--subjects FOLDER] [--palm] [--hands]

Scenes are those of `body_fit.py`, which makes the subjects. For each joint, over all frames (degrees): the mean angle
between the fitted global rotation and the true one, and the same after the joint's constant part of it is taken away,
which an avatar does not see. Left and right are joined.

- `--hands`: the median and mean error of the hands' rotation as the network tells it, over the pictures in which it is
  trusted, and their number
- `--palm`: the points of the palm at rest, the table PALM of `preprocess/body_fit/evidence/turns.py`. Do not use scenes
  on which results are reported.

benchmarks/results/turns.md quotes what it prints.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from body_fit import preprocess_scene  # noqa: E402

from hashhuman.data.subject import Subject  # noqa: E402
from preprocess.body_fit.evidence.observe import observe  # noqa: E402
from preprocess.body_fit.evidence.turns import MIRROR, PALM, TURNED, HandTurns  # noqa: E402
from preprocess.frames.images import image_paths  # noqa: E402
from preprocess.keypoints.camera_axes import axes_at  # noqa: E402
from preprocess.keypoints.hand_network import MIDDLE  # noqa: E402
from preprocess.keypoints.hands import SIDES, find_hands  # noqa: E402
from preprocess.keypoints.points import Keypoints, points_path  # noqa: E402

TRUSTED = 0.3  # of a measurement that counts here


def camera_rotations(folder: Path, frames: range) -> tuple[tuple[str, ...], np.ndarray]:
    """Joint names, and each joint's rotation from rest to the axes of camera 0 (F, J, 3, 3)."""
    subject = Subject(folder)
    template, turn = subject.template(), subject.camera(0).R.double()
    poses = [subject.pose(frame) for frame in frames]
    world = [pose.world_from_posed().double() @ template.bone_transforms(pose.body_pose).double() for pose in poses]
    return template.joint_names, (turn @ torch.stack(world)[..., :3, :3]).numpy()


def angles(rotations: np.ndarray) -> np.ndarray:
    """Of rotation matrices (..., 3, 3), in degrees."""
    flat = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).magnitude()
    return np.degrees(flat).reshape(rotations.shape[:-2])


def joint_errors(fitted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean angle of each joint's error (J,), with and without its constant part, which is the chordal mean."""
    error = true.swapaxes(-1, -2) @ fitted
    u, _, vt = np.linalg.svd(error.mean(0))
    u[..., -1] *= np.linalg.det(u @ vt)[..., None]
    return angles(error).mean(0), angles(error @ (u @ vt).swapaxes(-1, -2)).mean(0)


def seen_keypoints(subject: Path) -> tuple[Keypoints, list[Path]]:
    """The points of a subject's first camera, and its pictures."""
    keypoints, images = Keypoints.load(points_path(subject)), image_paths(subject)
    return keypoints, [images[frame] for frame in keypoints.frames]


def hand_errors(scene: Path, subject: Path) -> str:
    """How far the measured turns of the hands are from the true ones."""
    keypoints, paths = seen_keypoints(subject)
    K = Subject(subject).camera(0).K.numpy()
    turns = HandTurns()(paths, observe(keypoints, K), K)
    names, true = camera_rotations(scene, range(len(paths)))
    trusted = turns.trust.numpy() > TRUSTED
    error = angles(true[:, [names.index(n) for n in TURNED]].swapaxes(-1, -2) @ turns.rotation.double().numpy())[
        trusted
    ]
    return f"hands: median {np.median(error):.0f}, mean {error.mean():.0f} in {trusted.sum()} of {trusted.size}"


def palm_at_rest(scene: Path, subject: Path) -> np.ndarray:
    """The palm's points in each trusted hand, carried back to a left hand at rest (N, P, 3), with a norm of one."""
    keypoints, paths = seen_keypoints(subject)
    hands = find_hands(paths, keypoints.image_points.astype(float), keypoints.visibility)
    names, true = camera_rotations(scene, range(len(paths)))
    K, found = Subject(scene).camera(0).K.double().numpy(), []
    for side, name in enumerate(SIDES):
        seen = hands.trust[:, side] > TRUSTED
        towards = axes_at(hands.image_points[seen, side, MIDDLE], K)
        points = hands.world_points[seen, side][:, list(PALM)]
        back = true[seen, names.index(f"{name}_wrist")].swapaxes(-1, -2) @ towards
        points = (points - points.mean(1, keepdims=True)) @ back.swapaxes(-1, -2)
        points = points * MIRROR.numpy() if name == "right" else points
        found.append(points / np.linalg.norm(points, axis=(1, 2), keepdims=True))
    return np.concatenate(found)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", type=Path)
    parser.add_argument("--subjects", type=Path, default=Path("data/subjects"), help="where subjects are")
    parser.add_argument("--palm", action="store_true", help="measure the palm's points at rest instead")
    parser.add_argument("--hands", action="store_true", help="measure the network for hands too")
    arguments = parser.parse_args()
    scenes = [path.resolve() for path in arguments.scenes]
    if arguments.palm:
        for scene in scenes:
            preprocess_scene(scene, arguments.subjects / scene.name, [], ("frames", "keypoints"))
        palms = np.concatenate([palm_at_rest(scene, arguments.subjects / scene.name) for scene in scenes])
        middle = np.median(palms, axis=0)
        for point, at in zip(PALM, 5 * middle / np.abs(middle).max()):
            print(point, at.round(1))
        return
    rows = []
    for scene in scenes:
        subject = arguments.subjects / scene.name
        frames = range(len(Keypoints.load(points_path(subject)).frames))
        names, fitted = camera_rotations(subject, frames)
        true_names, true = camera_rotations(scene, frames)
        assert names == true_names
        groups = list(dict.fromkeys(name.rpartition("_")[2] for name in names))
        errors = np.stack(joint_errors(fitted, true))
        rows.append([errors[:, [n.rpartition("_")[2] == group for n in names]].mean(1) for group in groups])
        print(scene.name, hand_errors(scene, subject) if arguments.hands else "", flush=True)
        if scene == scenes[0]:
            header = f"{'':<8}" + "".join(f"{group:>10}" for group in (*groups, "all"))
    print(header)
    for scene, row in zip([*(s.name for s in scenes), "mean"], [*rows, np.mean(rows, 0)]):
        cells = [*row, np.mean(row, 0)]
        print(f"{scene:<8}" + "".join(f"{f'{a:.0f} ({v:.0f})':>10}" for a, v in cells))


if __name__ == "__main__":
    main()
