"""A body's motion in the space of exported files: metres, y up, the feet on the ground."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation, Slerp

from hashhuman.body.standing import upward
from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.body.visibility import world_vertices
from hashhuman.errors import UserError
from hashhuman.geometry import skinning


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """Joints at rest: metres, y up, facing +z, the left at +x, the soles at y = 0."""

    names: tuple[str, ...]
    parents: tuple[int, ...]  # parents[0] == -1
    joints: Float[np.ndarray, "J 3"]  # float64
    offset: Float[np.ndarray, "3"]  # what the template's rest space was moved by (m)

    @classmethod
    def of(cls, template: BodyTemplate) -> "Skeleton":
        """The skeleton of a body, which is moved so that it stands on the ground above the origin."""
        joints = template.joints.cpu().double().numpy()
        offset = -np.array([joints[0, 0], float(template.vertices[:, 1].min()), joints[0, 2]])
        return cls(template.joint_names, template.parents, joints + offset, offset)

    def offsets(self) -> Float[np.ndarray, "J 3"]:
        """Each joint relative to its parent (m); the root relative to the origin."""
        return self.joints - np.where(np.array(self.parents)[:, None] < 0, 0, self.joints[list(self.parents)])


@dataclasses.dataclass(frozen=True)
class Motion:
    """Poses over time, for a skeleton at rest. Float64."""

    name: str
    times: Float[np.ndarray, "F"]  # seconds, ascending, the first one 0
    rotations: Float[np.ndarray, "F J 4"]  # unit quaternions x y z w, relative to the parent joint
    root: Float[np.ndarray, "F 3"]  # position of the root joint (m)
    exported_from_world: Float[np.ndarray, "4 4"]  # the rigid map from the run's world (m)

    def joints(self, skeleton: Skeleton) -> Float[np.ndarray, "F J 3"]:
        """Positions of the joints (m)."""
        return self.transforms(skeleton)[..., :3, 3]

    def transforms(self, skeleton: Skeleton) -> Float[np.ndarray, "F J 4 4"]:
        """Global transforms of the joints."""
        local = np.tile(np.eye(4), (*self.rotations.shape[:2], 1, 1))
        local[..., :3, :3] = (
            Rotation.from_quat(self.rotations.reshape(-1, 4)).as_matrix().reshape(*local.shape[:2], 3, 3)
        )
        local[..., :3, 3] = skeleton.offsets()
        local[:, 0, :3, 3] = self.root
        for joint, parent in enumerate(skeleton.parents[1:], 1):
            local[:, joint] = local[:, parent] @ local[:, joint]
        return local

    def at(self, times: Float[np.ndarray, "N"]) -> "Motion":
        """The motion at other times (s), interpolated; before the first and after the last frame it stands still."""
        times = times.clip(0, self.times[-1])
        if len(self.times) == 1:
            nearest = np.zeros(len(times), int)
            return dataclasses.replace(self, times=times, rotations=self.rotations[nearest], root=self.root[nearest])
        turned = [
            Slerp(self.times, Rotation.from_quat(joint))(times).as_quat() for joint in self.rotations.swapaxes(0, 1)
        ]
        root = np.stack([np.interp(times, self.times, axis) for axis in self.root.T], 1)
        return dataclasses.replace(self, times=times, rotations=continuous(np.stack(turned, 1)), root=root)

    def frame_time(self) -> float:
        """The usual time from one frame to the next (s); 1/30 for a single frame."""
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 1 / 30


def captured(avatar: Any, datamodule: Any, fps: float) -> Motion:
    """The filmed motion: all frames of the training cameras, with the held-out ones between them.

    Args:
        avatar: it knows the poses as training has corrected them.
        datamodule: the run's `SubjectDataModule`.
        fps: frames per second if the subject folder does not say when its pictures were taken.
    """
    subject, frames = datamodule.subject, captured_frames(datamodule)
    poses = [avatar.refined_pose(subject.pose(frame), frame) for frame in frames]
    return exported("captured", subject.template(), poses, frame_times(subject.meta, frames, fps))


def captured_frames(datamodule: Any) -> list[int]:
    """The frames of the filmed motion in the subject folder, ascending: those of training, and those held out."""
    filmed = {picture.frame for split in ("train", "heldout") for picture in datamodule.splits[split]}
    return sorted(filmed & set(datamodule.subject.posed_frames))


def frame_times(meta: dict, frames: Sequence[int], fps: float) -> Float[np.ndarray, "F"]:
    """When frames were filmed (s), the first one at 0: as subject.json says, or else at `fps`."""
    seconds = np.asarray((meta.get("video") or {}).get("seconds") or [], float)
    times = seconds[list(frames)] if frames[-1] < len(seconds) else np.asarray(frames, float) / fps
    if (np.diff(times) <= 0).any():
        raise UserError("The pictures' times in subject.json do not ascend: correct video.seconds there, or delete it.")
    return times - times[0]


def exported(name: str, template: BodyTemplate, poses: Sequence[BodyPose], times: Float[np.ndarray, "F"]) -> Motion:
    """A motion of a body in the world, moved to where exported files have it.

    Up is where the person stands straight (`body/standing.py`); at first the body stands over the origin and faces +z;
    its lowest vertex of all frames lies on the ground, y = 0.
    """
    template = template.to("cpu")
    body_pose = torch.stack([pose.body_pose for pose in poses]).double()
    matrices = skinning.axis_angle_to_matrix(body_pose).numpy()
    orient = skinning.axis_angle_to_matrix(torch.stack([pose.orient for pose in poses]).double()).numpy()
    transl = torch.stack([pose.transl for pose in poses]).double().numpy()
    root = orient @ template.joints[0].double().numpy() + transl
    turn = _upright(orient, upward(template, poses).double().numpy())
    lowest = min(float((world_vertices(template, pose) @ torch.from_numpy(turn[1]).float()).min()) for pose in poses)
    move = -np.array([turn[0] @ root[0], lowest, turn[2] @ root[0]])
    matrices[:, 0] = turn @ orient @ matrices[:, 0]
    quaternions = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_quat().reshape(*matrices.shape[:2], 4)
    placed = np.eye(4)
    placed[:3, :3], placed[:3, 3] = turn, move
    return Motion(name, np.asarray(times, float), continuous(quaternions), root @ turn.T + move, placed)


def body_poses(motion: Motion, template: BodyTemplate) -> list[BodyPose]:
    """The poses of a motion's frames in the run's world, float32: the inverse of `exported`."""
    back = np.linalg.inv(motion.exported_from_world)
    rotation, move = back[:3, :3], back[:3, 3]
    orient = Rotation.from_matrix(rotation) * Rotation.from_quat(motion.rotations[:, 0])
    root = motion.root @ rotation.T + move
    transl = root - orient.apply(template.joints[0].cpu().double().numpy())
    body_pose = Rotation.from_quat(motion.rotations.reshape(-1, 4)).as_rotvec().reshape(*motion.rotations.shape[:2], 3)
    body_pose[:, 0] = 0
    arrays = (torch.from_numpy(values).float() for values in (body_pose, orient.as_rotvec(), transl))
    return [BodyPose(*pose) for pose in zip(*arrays, strict=True)]


def continuous(rotations: Float[np.ndarray, "F J 4"]) -> Float[np.ndarray, "F J 4"]:
    """The same rotations with signs such that players, which interpolate numbers, take the short way."""
    turned = (rotations[1:] * rotations[:-1]).sum(-1) < 0
    return rotations * np.where(np.cumsum(np.pad(turned, ((1, 0), (0, 0))), 0) % 2, -1.0, 1.0)[..., None]


def _upright(orient: Float[np.ndarray, "F 3 3"], up: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation of the world that turns `up` (unit) to +y, and the first body's z axis to +z."""
    up = up / np.linalg.norm(up)
    front = orient[0, :, 2] - (orient[0, :, 2] @ up) * up
    if np.linalg.norm(front) < 1e-6:  # the first body lies: any direction will do
        front = np.cross(up, np.eye(3)[np.abs(up).argmin()])
    front /= np.linalg.norm(front)
    return np.stack([np.cross(up, front), up, front])
