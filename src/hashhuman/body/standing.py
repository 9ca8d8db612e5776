"""Which way is up in a world that a single camera has shown."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.geometry import skinning

STRAIGHT = 0.2  # share of the poses, those in which trunk and legs are most in line
_NECK, _HIPS, _ANKLES = "neck", ("left_hip", "right_hip"), ("left_ankle", "right_ankle")


@torch.no_grad()
def upward(template: BodyTemplate, poses: Sequence[BodyPose]) -> Float[Tensor, "3"]:
    """The world's upward direction (unit), on the CPU: from the ankles to the neck of a person who stands straight.

    Who leans or bends has trunk and legs out of line. So only the fifth of the poses count in which they are most in
    line. A body without these joints is taken to be upright in the mean of its poses.

    Args:
        template: the body.
        poses: at least one.
    """
    template, poses = template.to("cpu"), [pose.to("cpu") for pose in poses]
    if not {_NECK, *_HIPS, *_ANKLES} <= set(template.joint_names):
        return _unit(skinning.axis_angle_to_matrix(torch.stack([pose.orient for pose in poses]))[:, :, 1].mean(0))
    bones = template.bone_transforms(torch.stack([pose.body_pose for pose in poses]))
    world = torch.stack([pose.world_from_posed() for pose in poses])[:, None] @ bones
    joints = skinning.transform(world, template.joints.expand(len(poses), -1, -1))

    def middle(*names: str) -> Float[Tensor, "F 3"]:
        return joints[:, [template.joint_names.index(name) for name in names]].mean(1)

    neck, hips, ankles = middle(_NECK), middle(*_HIPS), middle(*_ANKLES)
    in_line = (_unit(neck - hips) * _unit(hips - ankles)).sum(1)
    straight = in_line.topk(max(1, int(STRAIGHT * len(poses)))).indices
    return _unit(_unit(neck - ankles)[straight].mean(0))


def _unit(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)
