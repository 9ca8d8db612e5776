"""How far each joint of a person can rotate, and how far it usually does."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

# degrees about the rest frame's x axis (positive: a leg swings back, the trunk bends forward), y axis and z axis, of a
# joint on the person's left; the ranges of the right side are their mirror image
LIMITS = {
    "spine1": ((-25, 45), (-30, 30), (-25, 25)),
    "spine2": ((-20, 40), (-30, 30), (-20, 20)),
    "spine3": ((-20, 35), (-30, 30), (-20, 20)),
    "neck": ((-40, 40), (-50, 50), (-35, 35)),
    "head": ((-40, 40), (-50, 50), (-35, 35)),
    "hip": ((-140, 45), (-60, 60), (-40, 75)),
    "knee": ((-3, 150), (-20, 20), (-15, 15)),
    "ankle": ((-50, 50), (-35, 35), (-30, 30)),
    "foot": ((-45, 20), (-5, 5), (-5, 5)),
    "collar": ((-25, 25), (-30, 30), (-20, 40)),
    "wrist": ((-70, 70), (-50, 50), (-70, 70)),
    "hand": ((-3, 3), (-3, 3), (-3, 3)),
}
UNLIMITED = ((-180, 180),) * 3  # of a joint that LIMITS does not name

# radians: the usual deviation of a joint from rest (Anny rests in an A-pose), about every axis or about x, y and z
SPREAD = {
    "spine1": 0.2, "spine2": 0.2, "spine3": 0.2, "neck": 0.3, "head": 0.3, "collar": 0.2, "hip": 0.8,
    "knee": (1.0, 0.1, 0.1), "ankle": 0.4, "foot": 0.15, "shoulder": 1.0, "elbow": 1.0, "wrist": 0.6, "hand": 0.05,
}  # fmt: skip


class JointRanges(NamedTuple):
    """The ranges of J joints, for axis-angle vectors multiplied by `mirror`."""

    mirror: Float[Tensor, "J 3"]
    """1 or -1: maps a rotation of a joint on the right to that of its counterpart on the left."""
    low: Int[Tensor, "J 3"]  # degrees
    high: Int[Tensor, "J 3"]  # degrees


def base_name(joint: str) -> str:
    """The joint's name without its side: 'left_hip' -> 'hip'."""
    return joint.rpartition("_")[2]


def joint_ranges(joint_names: Sequence[str]) -> JointRanges:
    """The ranges of the named joints; a joint that LIMITS does not name is unlimited."""
    mirror = torch.tensor([[1.0, -1, -1] if name.startswith("right_") else [1.0, 1, 1] for name in joint_names])
    limits = torch.tensor([LIMITS.get(base_name(name), UNLIMITED) for name in joint_names])
    return JointRanges(mirror, limits[..., 0], limits[..., 1])


def joint_spread(joint_names: Sequence[str]) -> Float[Tensor, "J 3"]:
    """The usual deviation of the named joints from rest about the axes of the rest frame (radians)."""
    return torch.stack([torch.tensor(SPREAD.get(base_name(name), 1.0)).expand(3) for name in joint_names])
