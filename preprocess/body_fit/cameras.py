"""The body_fit stage for several cameras: a body fitted to the first camera's pictures, in its true size.

One camera cannot tell a small body from a large one farther away. The first camera therefore decides everything except
the scale, and the other cameras decide the scale: scaling the fitted sequence about the centre of the first camera does
not change what that camera sees, so it is scaled until the other cameras see its joints where their keypoints are.
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
JOINTS = tuple(f"{side}_{joint}" for joint in _LIMBS for side in ("left", "right"))
"""Names of both keypoints and joints of the body."""
LEAST_VISIBILITY = 0.5  # of a keypoint that counts
HUBER = 0.03  # of the person's height in the picture: the loss is quadratic below this, and linear above it


class CameraFit(Stage):
    """Fits the body to the first camera, then finds its scale with the others.

    Args:
        fit: the stage that fits the body to one camera.
        pictures: how many pictures of each other camera to draw.
        force: run even if nothing has changed.
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
            SeenJoints.of(reader.camera(camera), Keypoints.load(points_path(subject, camera)), report["frames"])
            for camera in range(1, camera_count(subject))
        ]
        center = reader.camera(0).center.double().numpy()
        scale = find_scale(joints, center, others)
        report["joints"] = (center + scale * (report["joints"] - center)).astype(np.float32)
        vertices = self._rescale(subject, scale, center, report["frames"].tolist())
        save_npz(result.report_path(subject), report)
        placed = center + scale * (joints - center)
        errors = ", ".join(f"{seen.error(placed):.0f}" for seen in others)
        overlaps = ", ".join(f"{self._draw(subject, camera, vertices):.2f}" for camera in range(1, len(others) + 1))
        return f"{summary}; scaled by {scale:.3f}, other cameras: points {errors} px, IoU {overlaps}"

    def _rescale(self, subject: Path, scale: float, center: np.ndarray, frames: list[int]) -> dict[int, np.ndarray]:
        """Rewrites the body of every frame; returns the vertices (m, world)."""
        reader, middle = Subject(subject), torch.from_numpy(center).float()
        poses = {frame: reader.pose(frame) for frame in frames}
        vertices = {frame: (center + scale * (reader.vertices(frame) - center)).astype(np.float32) for frame in frames}
        shape = np.ravel(load_npy(subject / f"smpl_params/{frames[0]}.npy")["shapes"])
        writer = SubjectWriter(subject)
        writer.write_template(scaled(reader.template(), scale))
        for frame, pose in poses.items():
            writer.write_pose(frame, dataclasses.replace(pose, transl=middle + scale * (pose.transl - middle)), shape)
            writer.write_vertices(frame, vertices[frame])
        writer.update_meta(scale=round(scale, 5))
        return vertices

    def _draw(self, subject: Path, camera: int, vertices: dict[int, np.ndarray]) -> float:
        """Draws the body in another camera's pictures; returns the mean IoU with that camera's coarse masks."""
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
class SeenJoints:
    """Where a camera sees JOINTS in F frames."""

    camera: Camera
    pixels: Float[np.ndarray, "F 12 2"]
    weights: Float[np.ndarray, "F 12"]
    """0 where they are not visible."""
    height: float
    """The person's height in the pictures (pixels, median)."""

    @staticmethod
    def of(camera: Camera, keypoints: Keypoints, frames: np.ndarray) -> "SeenJoints":
        """Takes them from a camera's keypoints. Raises UserError if these lack one of the frames, or show nobody."""
        rows = {int(frame): row for row, frame in enumerate(keypoints.frames)}
        if not set(frames.tolist()) <= rows.keys():
            raise UserError(
                "the keypoints of the cameras are of different frames: run the keypoints stage again "
                "(preprocess.keypoints.force=true)."
            )
        chosen = [rows[int(frame)] for frame in frames]
        joints = [NAMES.index(name) for name in JOINTS]
        visibility = keypoints.visibility * keypoints.detected[:, None]
        weights = np.where(visibility < LEAST_VISIBILITY, 0, visibility)[chosen][:, joints]
        pixels = keypoints.image_points[chosen][:, joints].astype(np.float64)
        if not weights.any():
            raise UserError(
                "one of the cameras does not see the person at all: leave it out of preprocess.frames.cameras."
            )
        seen = pixels[(weights > 0).all(1)] if (weights > 0).all(1).any() else pixels
        return SeenJoints(camera, pixels, weights, float(np.median(np.ptp(seen[..., 1], axis=1))))

    def offsets(self, joints: Float[np.ndarray, "F 12 3"]) -> Float[np.ndarray, "F 12 2"]:
        """From the keypoints to the projected joints (pixels); joints are in metres (world)."""
        return project(projection(self.camera)[None], joints.reshape(-1, 3))[0].reshape(self.pixels.shape) - self.pixels

    def error(self, joints: Float[np.ndarray, "F 12 3"]) -> float:
        """Median distance (pixels) of the projected joints (m, world) from the visible keypoints."""
        return float(np.median(np.linalg.norm(self.offsets(joints), axis=-1)[self.weights > 0]))


def find_scale(joints: Float[np.ndarray, "F 12 3"], center: Float[np.ndarray, "3"], others: list[SeenJoints]) -> float:
    """The scale about a point at which the other cameras see JOINTS nearest to their keypoints (soft L1 loss).

    Args:
        joints: positions of JOINTS in F frames (m, world).
        center: the fixed point of the scaling (m, world).
        others: what the other cameras see.
    """

    def residuals(logarithm: np.ndarray) -> np.ndarray:
        placed = center + np.exp(logarithm) * (joints - center)
        each = [(s.offsets(placed) / s.height * np.sqrt(s.weights[..., None])).ravel() for s in others]
        return np.concatenate(each)

    return float(np.exp(least_squares(residuals, [0.0], loss="soft_l1", f_scale=HUBER).x[0]))


def scaled(template: BodyTemplate, scale: float) -> BodyTemplate:
    """The same body, `scale` times as large."""
    return dataclasses.replace(template, vertices=scale * template.vertices, joints=scale * template.joints)
