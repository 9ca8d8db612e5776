"""What a fit leaves behind: the body in the subject folder, and how good it is."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.data.subject import SubjectWriter
from hashhuman.geometry.camera import Camera
from hashhuman.io import threads
from hashhuman.io.files import read_image, save_npz
from preprocess.body_fit.init.from_points import axis_angle_from_matrix
from preprocess.body_fit.optimise.sequence import BodySequence, Posed, matrix_from_6d
from preprocess.keypoints.points import segmentation_folder
from preprocess.raster import rasterise

IOU_SIZE = 384  # pixels: pictures are shrunk to this before overlaps are counted


@dataclasses.dataclass(frozen=True)
class FitReport:
    """Per frame, F frames, as `body_fit.npz` holds it."""

    frames: Int[np.ndarray, "F"]
    reprojection_error: Float[np.ndarray, "F"]  # pixels, median over the visible points; NaN where there are none
    silhouette_iou: Float[np.ndarray, "F"]  # of the body and the person's mask; NaN where there is no mask
    interpolated: Bool[np.ndarray, "F"]
    flipped: Bool[np.ndarray, "F"]
    joints: Float[np.ndarray, "F J 3"]  # metres, world
    joint_names: tuple[str, ...]

    @classmethod
    def of_given(
        cls, frames: Sequence[int], overlaps: Sequence[float], joints: Sequence[np.ndarray], names: tuple[str, ...]
    ) -> "FitReport":
        """Of bodies that somebody else has fitted, so that there is no reprojection error and nothing was mended."""
        return cls(
            frames=np.array(frames),
            reprojection_error=np.full(len(frames), np.nan, np.float32),
            silhouette_iou=np.array(overlaps, np.float32),
            interpolated=np.zeros(len(frames), bool),
            flipped=np.zeros(len(frames), bool),
            joints=np.array(joints, np.float32),
            joint_names=names,
        )

    def save(self, path: Path) -> None:
        """Writes an .npz of the fields."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        save_npz(path, fields | {"joint_names": np.array(self.joint_names)})

    def summary(self) -> str:
        """The figures in a few words; what is unknown is left out."""
        words = []
        if np.isfinite(self.reprojection_error).any():
            words.append(f"points {np.nanmedian(self.reprojection_error):.1f} px")
        if np.isfinite(self.silhouette_iou).any():
            words.append(f"IoU {np.nanmean(self.silhouette_iou):.3f}")
        counts = (("filled in", self.interpolated), ("flipped back", self.flipped))
        return ", ".join([*words, *(f"{flags.sum()} {name}" for name, flags in counts if flags.any())])


def template_paths(subject: Path) -> list[Path]:
    """The files of `smpl_lbs/` that describe the rest body."""
    names = ("joints", "parents", "faces", "weights", "tvertices", "bigpose_vertices", "uv")
    return [subject / "smpl_lbs" / f"{name}.npy" for name in names]


def report_path(subject: Path) -> Path:
    """The figures of a fit."""
    return subject / "body_fit.npz"


@torch.no_grad()
def world_poses(sequence: BodySequence, posed: Posed, template: BodyTemplate, camera: Camera) -> list[BodyPose]:
    """Each frame's pose under the convention of the subject folder: world = rotation(orient) posed + transl."""
    # camera = root (rest - j0) + pelvis, and camera = R world + T
    turn = camera.R.T @ matrix_from_6d(sequence.root)
    transl = (posed.joints[:, 0] - camera.T) @ camera.R - turn @ template.joints[0]
    body_pose = sequence.pose.clone()
    body_pose[:, 0] = 0
    return [BodyPose(*x) for x in zip(body_pose, axis_angle_from_matrix(turn), transl)]


def write_body(
    writer: SubjectWriter, template: BodyTemplate, poses: list[BodyPose], frames: list[int], shape: np.ndarray,
    pose_vertices: Callable[[BodyTemplate, Tensor], Tensor] = BodyTemplate.pose_vertices,
) -> list[Float[np.ndarray, "V 3"]]:  # fmt: skip
    """Writes the rest body, every frame's parameters and vertices; returns the vertices (world, m).

    `pose_vertices` poses the template: plain skinning, or a body model's own (`BodyModel.pose_vertices`).
    """
    writer.write_template(template)

    def write(timed: tuple[int, BodyPose]) -> Float[np.ndarray, "V 3"]:
        frame, pose = timed
        posed = pose_vertices(template, pose.body_pose)
        world = pose.world_from_posed()
        vertices = (posed @ world[:3, :3].T + world[:3, 3]).numpy()
        writer.write_pose(frame, pose, shape)
        writer.write_vertices(frame, vertices)
        return vertices

    return list(threads.ordered(write, zip(frames, poses)))


def network_iou(
    subject: Path, frame: int, vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], camera: Camera
) -> float:
    """Overlap of the projected body with the keypoint network's own mask of a frame; NaN where there is none."""
    path = segmentation_folder(subject) / f"{frame:06d}.png"
    return silhouette_iou(vertices, faces, camera, read_image(path) if path.exists() else None)


def silhouette_iou(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], camera: Camera, mask: np.ndarray | None
) -> float:
    """Overlap of the projected body with an 8-bit mask (H x W): intersection over union; NaN for an empty mask."""
    if mask is None or not (mask >= 128).any():
        return float("nan")
    small = camera.scaled(min(1.0, IOU_SIZE / max(camera.height, camera.width)))
    person = mask >= 128
    if small.height != camera.height:
        ys = (np.arange(small.height) + 0.5) * mask.shape[0] / small.height
        xs = (np.arange(small.width) + 0.5) * mask.shape[1] / small.width
        person = person[ys.astype(int)[:, None], xs.astype(int)]
    pixels = small.project(torch.as_tensor(vertices)).numpy()
    body = rasterise(pixels, faces, small.height, small.width) >= 0
    return float((body & person).sum() / (body | person).sum())
