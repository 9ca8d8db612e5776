"""Measures where BlazePose's points lie on a body: the table of `preprocess/body_fit/landmarks.py`.

    python benchmarks/landmarks.py SCENE [SCENE ...] [--subjects FOLDER]

Scenes are those of `body_fit.py`. Do not use scenes on which results are reported (the table was made from the seeds 21
to 24). Left and right points are combined by mirroring. For each point, over frames in which it is visible (cm):

- offset: from the body's landmark, in the axes of the bone at rest, so that projections fall on the detected points
- image: median remaining distance of the projections, at the person's depth
- front, behind: the same as a root mean square, where the person faces the camera and where they face away
- bias: the correction of the 3D point along the viewing direction, and towards the person's front
- across, along: median remaining distance of the 3D points, across and along the viewing direction
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from body_fit import preprocess_scene  # noqa: E402

from hashhuman.body.anny import AnnyBody  # noqa: E402
from hashhuman.data.subject import Subject  # noqa: E402
from hashhuman.io.files import load_json  # noqa: E402
from preprocess.body_fit.landmarks import LANDMARKS, POINTS  # noqa: E402
from preprocess.keypoints.camera_axes import to_camera_axes  # noqa: E402
from preprocess.keypoints.points import Keypoints, points_path  # noqa: E402
from preprocess.skeleton import MIRRORED, NAMES  # noqa: E402

TRUNK = [NAMES.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("shoulder", "hip")]
MIRROR = np.array([-1.0, 1, 1])
SEEN = 0.5  # visibility
OUTLIER = 0.05  # metres
FACING = 0.7  # cosine of the angle between the person's front and the direction to the camera


class Observed:
    """One scene: F frames, L points, in the axes of its camera (m)."""

    def __init__(self, scene_folder: Path, subject: Path, body: AnnyBody) -> None:
        scene, keypoints = Subject(scene_folder), Keypoints.load(points_path(subject))
        phenotype = load_json(scene_folder / "scene.json")["phenotype"]
        basis = body.basis(torch.tensor([phenotype[name] for name in body.shape_names]))
        moments = torch.einsum("k,kljc->ljc", basis, body.landmark_basis(LANDMARKS))
        camera, template, transforms = scene.camera(0), scene.template(), []
        for frame in range(len(keypoints.frames)):
            pose = scene.pose(frame)
            bones = pose.world_from_posed().double() @ template.bone_transforms(pose.body_pose).double()
            bones[:, :3] = camera.R.double() @ bones[:, :3]
            bones[:, :3, 3] += camera.T.double()
            transforms.append(bones[:, :3])
        bones = torch.stack(transforms)  # F J 3 4
        at = torch.einsum("fjab,ljb->fla", bones, moments.double()).numpy()
        self.turn = torch.einsum("fjab,lj->flab", bones[..., :3], moments[..., 3].double()).numpy()
        self.ahead = bones[:, 0, :, 2].numpy()
        self.seen = keypoints.visibility > SEEN
        K = camera.K.double().numpy()
        metres = at[..., 2:] / K[0, 0]
        pixels = at @ K.T
        self.image_error = (keypoints.image_points - pixels[..., :2] / pixels[..., 2:]) * metres
        # Jacobian of the projection, in metres at the point's depth, with respect to the point.
        rays = at[..., :2] / at[..., 2:]
        self.slope = self.turn[:, :, :2] - rays[..., None] * self.turn[:, :, 2:]
        points = to_camera_axes(keypoints.world_points.astype(float), keypoints.image_points.astype(float), K)
        self.points, self.at = points - points[:, TRUNK].mean(1, keepdims=True), at


def offset_of(scenes: list[Observed], point: int) -> tuple[np.ndarray, float]:
    """A point's offset at rest and the remaining distance (m), by reweighted least squares with its mirror image."""
    slopes, errors = [], []
    for other, flip in {point: np.ones(3), MIRRORED[point]: np.ones(3) if MIRRORED[point] == point else MIRROR}.items():
        for scene in scenes:
            chosen = scene.seen[:, other]
            slopes.append(scene.slope[chosen, other] * flip)
            errors.append(scene.image_error[chosen, other])
    slope, error, offset = np.concatenate(slopes), np.concatenate(errors), np.zeros(3)
    for _ in range(20):
        weight = (1 + np.square(error - slope @ offset).sum(1) / OUTLIER**2) ** -2
        normal = np.einsum("n,nai,naj->ij", weight, slope, slope) + 1e-6 * len(slope) * np.eye(3)
        offset = np.linalg.solve(normal, np.einsum("n,nai,na->i", weight, slope, error))
    return offset, float(np.median(np.linalg.norm(error - slope @ offset, axis=1)))


def facing_errors(scenes: list[Observed], point: int, offset: np.ndarray) -> tuple[float, float]:
    """Root mean square distance (m) in pictures that the person faces, and in those that they face away from."""
    found: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    for other, flip in {point: np.ones(3), MIRRORED[point]: np.ones(3) if MIRRORED[point] == point else MIRROR}.items():
        for scene in scenes:
            rest = scene.image_error[:, other] - (scene.slope[:, other] * flip) @ offset
            towards = -scene.ahead[:, 2]
            for part, chosen in zip(found, (towards > FACING, towards < -FACING)):
                part.append(np.square(rest).sum(-1)[chosen & scene.seen[:, other]])
    front, behind = (float(np.sqrt(np.concatenate(part).mean())) for part in found)
    return front, behind


def world_errors(scene: Observed, offsets: np.ndarray) -> np.ndarray:
    """Differences of the 3D points from the body's (F, L, 3), both relative to the trunk and at the same scale (m)."""
    true = scene.at + np.einsum("flab,lb->fla", scene.turn, offsets)
    true = true - true[:, TRUNK].mean(1, keepdims=True)
    scale = (true * scene.points).sum() / np.square(scene.points).sum()
    return true - scale * scene.points


def bias_of(scenes: list[Observed], errors: list[np.ndarray], point: int) -> tuple[np.ndarray, np.ndarray]:
    """Bias along the viewing direction and towards the person's front, and the remaining distances (all m)."""
    pairs = [(s, e[:, p]) for p in {point, MIRRORED[point]} for s, e in zip(scenes, errors)]
    error = np.concatenate([e for _, e in pairs])
    view = np.tile([0.0, 0, 1], (len(error), 1))
    design = np.stack([view, np.concatenate([s.ahead for s, _ in pairs])], -1)
    kept = np.ones(len(error), bool)
    for _ in range(5):
        bias = np.linalg.lstsq(design[kept].reshape(-1, 2), error[kept].ravel(), rcond=None)[0]
        rest = error - design @ bias
        length = np.linalg.norm(rest, axis=1)
        kept = length < np.percentile(length, 85)
    spread = np.sqrt(np.median(np.square(rest), axis=0))
    return bias, np.array([spread[:2].mean(), spread[2]])


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", type=Path)
    parser.add_argument("--subjects", type=Path, default=Path("data/subjects"), help="where subjects are made")
    arguments = parser.parse_args()
    body, scenes = AnnyBody(), []
    for scene in (path.resolve() for path in arguments.scenes):
        preprocess_scene(scene, arguments.subjects / scene.name, [], ("frames", "keypoints"))
        scenes.append(Observed(scene, arguments.subjects / scene.name, body))
    measured = [offset_of(scenes, point) for point in range(len(NAMES))]
    errors = [world_errors(scene, np.stack([offset for offset, _ in measured])) for scene in scenes]
    print(
        f"{'point':<12}{'offset':>22}{'image':>8}{'front':>8}{'behind':>8}{'bias':>14}{'across':>8}{'along':>8}   (cm)"
    )
    for name in POINTS:
        point = next(i for i, n in enumerate(NAMES) if n in (name, f"left_{name}", f"{name}_left"))
        (offset, image), (bias, rest) = measured[point], bias_of(scenes, errors, point)
        facing = facing_errors(scenes, point, offset)
        numbers = [f"{100 * x:7.1f}" for x in (*offset, image, *facing, *bias, *rest)]
        print(f"{name:<12}" + " ".join(numbers))


if __name__ == "__main__":
    main()
