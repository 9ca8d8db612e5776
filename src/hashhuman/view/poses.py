"""Poses: of a motion at a time, with joints turned by hand, in the browser's space and in the run's world."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from hashhuman.body.template import BodyPose
from hashhuman.export.motion import Motion, Skeleton


def at(motion: Motion, time: float) -> Motion:
    """A motion of the one frame at `time` (s), interpolated between its neighbours."""
    first = int(np.searchsorted(motion.times, time, side="right")) - 1
    first = min(max(first, 0), max(len(motion.times) - 2, 0))
    pair = slice(first, first + 2)
    times = motion.times[pair]
    near = dataclasses.replace(motion, times=times - times[0], rotations=motion.rotations[pair], root=motion.root[pair])
    return near.at(np.array([time - times[0]]))


def turned(motion: Motion, degrees: Float[np.ndarray, "J 3"]) -> Motion:
    """The motion with each joint turned further, in its own axes: about x, then y, then z of the turned joint."""
    moved = np.flatnonzero(degrees.any(1))
    if not len(moved):
        return motion
    rotations = motion.rotations.copy()
    for joint in moved:
        more = Rotation.from_euler("XYZ", degrees[joint], degrees=True)
        rotations[:, joint] = (Rotation.from_quat(rotations[:, joint]) * more).as_quat()
    return dataclasses.replace(motion, rotations=rotations)


def in_world(motion: Motion, skeleton: Skeleton) -> BodyPose:
    """The first frame of a motion as a pose in the run's world (float32), where the field is rendered."""
    rotations = Rotation.from_quat(motion.rotations[0])
    turn, move = motion.exported_from_world[:3, :3], motion.exported_from_world[:3, 3]
    orient = turn.T @ rotations[0].as_matrix()
    joint = skeleton.joints[0] - skeleton.offset  # the root joint in the template's rest space
    transl = turn.T @ (motion.root[0] - move) - orient @ joint
    body_pose = rotations.as_rotvec()
    body_pose[0] = 0
    return BodyPose(
        torch.from_numpy(body_pose).float(),
        torch.from_numpy(Rotation.from_matrix(orient).as_rotvec()).float(),
        torch.from_numpy(transl).float(),
    )
