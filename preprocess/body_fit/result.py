"""What every variant of the body_fit stage writes: the body in the subject folder, and the figures of the fit."""

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
from preprocess.body_fit.geometry import axis_angle_from_matrix, matrix_from_6d
from preprocess.body_fit.sequence import BodySequence, Posed
from preprocess.keypoints.points import segmentation_folder
from preprocess.raster import rasterise

IOU_SIZE = 384  # pixels: the long side that pictures are shrunk to before overlaps are measured


@dataclasses.dataclass(frozen=True)
class FitReport:
    """The figures of F frames, as `body_fit.npz` holds them."""

    frames: Int[np.ndarray, "F"]
    """Their numbers."""
    reprojection_error: Float[np.ndarray, "F"]
    """Pixels: median over the visible points; NaN where there are none."""
    silhouette_iou: Float[np.ndarray, "F"]
    """Overlap of the body and the person's mask; NaN where there is no mask."""
    interpolated: Bool[np.ndarray, "F"]
    """Whether nobody was found there, so that the pose was interpolated."""
    flipped: Bool[np.ndarray, "F"]
    """Whether the detector had confused left and right."""
    joints: Float[np.ndarray, "F J 3"]
    """Positions (m, world)."""
    joint_names: tuple[str, ...]

    @classmethod
    def of_given(
        cls, frames: Sequence[int], overlaps: Sequence[float], joints: Sequence[np.ndarray], names: tuple[str, ...]
    ) -> "FitReport":
        """The report on bodies that were fitted elsewhere: without reprojection errors, interpolated or flipped frames.

        Args:
            frames: numbers of the F frames.
            overlaps: IoU of body and mask in each frame.
            joints: positions (J, 3) in each frame (m, world).
            names: of the J joints.
        """
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
        """The figures in a few words, without those that are unknown."""
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
    """The file of a fit's figures."""
    return subject / "body_fit.npz"


@torch.no_grad()
def world_poses(sequence: BodySequence, posed: Posed, template: BodyTemplate, camera: Camera) -> list[BodyPose]:
    """Each frame's pose in the convention of the subject folder, world = R(Rh) posed + Th (m).

    Args:
        sequence: the fitted parameters.
        posed: the body posed with them (camera axes).
        template: the rest body of their shape.
        camera: the camera that the body was fitted in.
    """
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
    """Writes the rest body, and the parameters and vertices of every frame; returns the vertices (m, world).

    Args:
        writer: of the subject folder.
        template: the rest body.
        poses: one for each frame.
        frames: their numbers.
        shape: (S,) parameters of the body model.
        pose_vertices: poses the template: linear blend skinning, or a body model's own way (`BodyModel.pose_vertices`).
    """
    writer.write_template(template)

    def write(numbered: tuple[int, BodyPose]) -> Float[np.ndarray, "V 3"]:
        frame, pose = numbered
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
    """IoU of the projected body (vertices in m, world) and the keypoint network's mask of a frame; NaN without one."""
    path = segmentation_folder(subject) / f"{frame:06d}.png"
    return silhouette_iou(vertices, faces, camera, read_image(path) if path.exists() else None)


def silhouette_iou(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], camera: Camera, mask: np.ndarray | None
) -> float:
    """IoU of the projected body (vertices in m, world) and an 8-bit mask (H x W); NaN for no mask or an empty one."""
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
