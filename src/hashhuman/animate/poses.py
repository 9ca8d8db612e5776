"""From a motion in the space of exported files back to poses in the world of the run, where its cameras are."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.body.visibility import world_vertices
from hashhuman.export.motion import Motion


def body_poses(motion: Motion, template: BodyTemplate) -> list[BodyPose]:
    """The poses of a motion's frames in the run's world, float32; the inverse of `hashhuman.export.motion.exported`."""
    back = np.linalg.inv(motion.exported_from_world)
    rotation, move = back[:3, :3], back[:3, 3]
    orient = Rotation.from_matrix(rotation) * Rotation.from_quat(motion.rotations[:, 0])
    root = motion.root @ rotation.T + move
    transl = root - orient.apply(template.joints[0].cpu().double().numpy())
    body_pose = Rotation.from_quat(motion.rotations.reshape(-1, 4)).as_rotvec().reshape(*motion.rotations.shape[:2], 3)
    body_pose[:, 0] = 0
    arrays = (torch.from_numpy(values).float() for values in (body_pose, orient.as_rotvec(), transl))
    return [BodyPose(*pose) for pose in zip(*arrays, strict=True)]


def heights(motion: Motion, template: BodyTemplate) -> Float[np.ndarray, "F"]:
    """The height (m) of the body's lowest vertex in each frame, above the ground of exported files."""
    template, poses = template.to("cpu"), body_poses(motion, template)
    up, above = torch.from_numpy(motion.exported_from_world[1, :3]).float(), motion.exported_from_world[1, 3]
    return np.array([float((world_vertices(template, pose) @ up).min()) + above for pose in poses])


def on_ground(motion: Motion, template: BodyTemplate) -> Motion:
    """The motion moved up or down, so that the body's lowest vertex of all frames lies on the ground, y = 0."""
    return dataclasses.replace(motion, root=motion.root - [0, heights(motion, template).min(), 0])
