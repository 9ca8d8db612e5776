"""Stage 3 for several cameras: a body fitted to the first camera's pictures, in its true size.

One camera cannot tell a small body from a large one farther off. The first camera's pictures decide everything but
that, the other cameras the distance: the fitted sequence is scaled about the first camera's centre, which that camera
cannot see, until the others see its joints where the keypoints are.
"""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from rich.progress import Progress
from scipy.optimize import least_squares

from hashhuman.body.template import BodyTemplate
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io.assets import Asset
from hashhuman.io.files import load_npy, load_npz, read_image, save_npz
from preprocess.body_fit import pictures, result
from preprocess.frames.images import image_paths
from preprocess.keypoints.points import Keypoints, points_path, segmentation_folder
from preprocess.multiview.triangulation import project, projection
from preprocess.multiview.views import camera_count, open_view
from preprocess.skeleton import NAMES
from preprocess.stage import Stage

_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
JOINTS = tuple(f"{side}_{joint}" for joint in _LIMBS for side in ("left", "right"))  # of keypoints and bodies alike
LEAST_VISIBILITY = 0.5
HUBER = 0.03  # of the person's height in the picture: points within it count by their squared distance


class CameraFit(Stage):
    """Fits with the first camera, then finds the size with the others.

    Args:
        fit: the stage that fits one camera.
        pictures: how many pictures of each other camera to draw.
    """

    name: ClassVar[str] = "body_fit"

    def __init__(self, fit: Stage, pictures: int = 6, force: bool = False):
        self.fit, self.pictures, self.force = fit, pictures, force

    def inputs(self, subject: Path) -> list[Path]:
        return [*self.fit.inputs(subject), subject / "keypoints", subject / "annots.npy"]

    def outputs(self, subject: Path) -> list[Path]:
        return self.fit.outputs(subject)

    def settings(self) -> dict[str, Any]:
        return {"fit": type(self.fit).__name__, **self.fit.settings(), "pictures_of_others": self.pictures}

    def missing(self) -> str | None:
        return self.fit.missing()

    def assets(self) -> list[Asset]:
        return self.fit.assets()

    def run(self, subject: Path, progress: Progress) -> str:
        summary = self.fit.run(subject, progress)
        report = load_npz(result.report_path(subject))
        chosen = [report["joint_names"].tolist().index(name) for name in JOINTS]
        joints, reader = report["joints"][:, chosen], Subject(subject)
        others = [
            Sight.of(reader.camera(camera), Keypoints.load(points_path(subject, camera)), report["frames"])
            for camera in range(1, camera_count(subject))
        ]
        center = reader.camera(0).center.double().numpy()
        scale = find_scale(joints, center, others)
        report["joints"] = (center + scale * (report["joints"] - center)).astype(np.float32)
        vertices = self._rescale(subject, scale, center, report["frames"].tolist())
        save_npz(result.report_path(subject), report)
        placed = center + scale * (joints - center)
        errors = ", ".join(f"{sight.error(placed):.0f}" for sight in others)
        overlaps = ", ".join(f"{self._draw(subject, camera, vertices):.2f}" for camera in range(1, len(others) + 1))
        return f"{summary}; scaled by {scale:.3f}, other cameras: points {errors} px, IoU {overlaps}"

    def _rescale(self, subject: Path, scale: float, center: np.ndarray, frames: list[int]) -> dict[int, np.ndarray]:
        """Rewrites the body of every frame; returns the vertices (world, m)."""
        reader, middle = Subject(subject), torch.from_numpy(center).float()
        poses = {frame: reader.pose(frame) for frame in frames}
        vertices = {frame: (center + scale * (reader.vertices(frame) - center)).astype(np.float32) for frame in frames}
        shape = np.ravel(load_npy(subject / f"smpl_params/{frames[0]}.npy")["shapes"])
        writer = SubjectWriter(subject)
        writer.write_template(scaled(reader.template(), scale))
        for frame, pose in poses.items():
            writer.write_pose(frame, dataclasses.replace(pose, Th=middle + scale * (pose.Th - middle)), shape)
            writer.write_vertices(frame, vertices[frame])
        writer.update_meta(scale=round(scale, 5))
        return vertices

    def _draw(self, subject: Path, camera: int, vertices: dict[int, np.ndarray]) -> float:
        """Draws the body as another camera sees it; the mean overlap with that camera's coarse masks."""
        view, reader = open_view(subject, camera), Subject(subject)
        paths = {frame: path for frame, path in image_paths(view).items() if frame in vertices}
        template, seen_by = reader.template(), reader.camera(camera)
        folder = subject / "pictures" / self.name / f"{camera:02d}"
        pictures.draw_sequence(paths, [vertices[f] for f in paths], template, seen_by, folder, self.pictures)
        faces, overlaps = template.faces.numpy(), []
        for frame in paths:
            mask = segmentation_folder(view) / f"{frame:06d}.png"
            seen = read_image(mask) if mask.exists() else None
            overlaps.append(result.silhouette_iou(vertices[frame], faces, seen_by, seen))
        return float(np.nanmean(overlaps))


@dataclasses.dataclass(frozen=True)
class Sight:
    """Where a camera sees JOINTS in F frames."""

    camera: Camera
    pixels: Float[np.ndarray, "F 12 2"]
    weights: Float[np.ndarray, "F 12"]  # 0 where they are not seen
    tall: float  # the person's height in the pictures, pixels

    @staticmethod
    def of(camera: Camera, keypoints: Keypoints, frames: np.ndarray) -> "Sight":
        """From a camera's keypoints. Raises UserError if they lack one of the frames, or see nobody."""
        rows = {int(frame): row for row, frame in enumerate(keypoints.frames)}
        if not set(frames.tolist()) <= rows.keys():
            raise UserError("The keypoints of the cameras are of different frames; redo the keypoints stage.")
        chosen = [rows[int(frame)] for frame in frames]
        joints = [NAMES.index(name) for name in JOINTS]
        visibility = keypoints.visibility * keypoints.detected[:, None]
        weights = np.where(visibility < LEAST_VISIBILITY, 0, visibility)[chosen][:, joints]
        pixels = keypoints.image_points[chosen][:, joints].astype(np.float64)
        if not weights.any():
            raise UserError(
                "One of the cameras does not see the person at all; leave it out of preprocess.frames.cameras."
            )
        seen = pixels[(weights > 0).all(1)] if (weights > 0).all(1).any() else pixels
        return Sight(camera, pixels, weights, float(np.median(np.ptp(seen[..., 1], axis=1))))

    def offsets(self, joints: Float[np.ndarray, "F 12 3"]) -> Float[np.ndarray, "F 12 2"]:
        """From where the joints (world, m) are seen to where they should be: pixels."""
        return project(projection(self.camera)[None], joints.reshape(-1, 3))[0].reshape(self.pixels.shape) - self.pixels

    def error(self, joints: Float[np.ndarray, "F 12 3"]) -> float:
        """The median distance in pixels over what is seen."""
        return float(np.median(np.linalg.norm(self.offsets(joints), axis=-1)[self.weights > 0]))


def find_scale(joints: Float[np.ndarray, "F 12 3"], center: Float[np.ndarray, "3"], others: list[Sight]) -> float:
    """By how much to scale JOINTS (world, m) about a point for the other cameras to see them best (Huber-like loss)."""

    def residuals(logarithm: np.ndarray) -> np.ndarray:
        placed = center + np.exp(logarithm) * (joints - center)
        each = [(s.offsets(placed) / s.tall * np.sqrt(s.weights[..., None])).ravel() for s in others]
        return np.concatenate(each)

    return float(np.exp(least_squares(residuals, [0.0], loss="soft_l1", f_scale=HUBER).x[0]))


def scaled(template: BodyTemplate, scale: float) -> BodyTemplate:
    """The same body in another size."""
    return dataclasses.replace(template, vertices=scale * template.vertices, joints=scale * template.joints)
