"""Fills in poses that are missing between others."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.spatial.transform import Rotation, Slerp

from hashhuman.body.template import BodyPose


def filled_in(known: Mapping[int, BodyPose], absent: Sequence[int]) -> dict[int, BodyPose]:
    """Poses of the absent frames: between those of their neighbours, and before the first and after the last, theirs.

    Rotations are interpolated spherically, and positions linearly.

    Args:
        known: the poses by frame; at least one.
        absent: frames without one.
    """
    frames = sorted(known)
    poses = [known[frame] for frame in frames]
    at = np.clip(absent, frames[0], frames[-1]).astype(float)
    turns = torch.stack([torch.cat([pose.orient[None], pose.body_pose]) for pose in poses]).double().numpy()
    transl = torch.stack([pose.transl for pose in poses]).double().numpy()
    if len(frames) == 1:
        return dict.fromkeys(absent, poses[0])
    joints = [Slerp(frames, Rotation.from_rotvec(turns[:, j]))(at).as_rotvec() for j in range(turns.shape[1])]
    placed = np.stack([np.interp(at, frames, axis) for axis in transl.T], 1)
    between = torch.from_numpy(np.stack(joints, 1)).float(), torch.from_numpy(placed).float()
    return {frame: BodyPose(turn[1:], turn[0], place) for frame, turn, place in zip(absent, *between)}
