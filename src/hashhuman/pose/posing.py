"""Poses the bodies of all training frames from corrections, in every training step.

A step must not pay for what `PosedBodies.from_poses` does: it launches hundreds of kernels and keeps several arrays of
a matrix for each body point of each frame. So on a GPU two kernels do it, and two more carry the gradients back
(`posing_kernels.py`). The functions here are the reference.
"""

import dataclasses
import functools
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.geometry import skinning

POINTS = 128  # body points of a program of the kernels


@dataclasses.dataclass(frozen=True)
class Fitted:
    """The fitted poses of F frames, as matrices, and the constants of the body that posing needs."""

    rotation: Float[Tensor, "F J 3 3"]  # relative to the parent; row 0: `orient`
    transl: Float[Tensor, "F 3"]  # metres
    joints: Float[Tensor, "J 3"]  # at rest (m)
    parents: Int[Tensor, "J"]  # -1: the root
    depth: int  # number of joints of the longest chain
    below: Int[Tensor, "J J"]  # 1 where the second joint is the first one or hangs on it
    weights: Float[Tensor, "J V"]  # skinning weights
    canonical_from_rest: Float[Tensor, "12 V"]  # number by number, so that neighbouring points are contiguous

    @classmethod
    def of(cls, template: BodyTemplate, poses: Sequence[BodyPose]) -> "Fitted":
        """The poses of a template, on its device."""
        device, parents = template.vertices.device, template.parents
        turns = torch.stack([torch.cat([pose.orient[None], pose.body_pose[1:]]) for pose in poses]).to(device)
        chains = [_chain(parents, joint) for joint in range(len(parents))]
        below = torch.zeros(len(parents), len(parents), dtype=torch.int32)
        for joint, chain in enumerate(chains):
            below[chain, joint] = 1
        return cls(
            rotation=skinning.axis_angle_to_matrix(turns).contiguous(),
            transl=torch.stack([pose.transl for pose in poses]).to(device),
            joints=template.joints.contiguous(),
            parents=torch.tensor(parents, dtype=torch.int32, device=device),
            depth=max(map(len, chains)),
            below=below.to(device),
            weights=template.lbs_weights.t().contiguous(),
            canonical_from_rest=template.canonical_from_rest[:, :3].flatten(1).t().contiguous(),
        )

    @functools.cached_property
    def moving(self) -> tuple[Int[Tensor, "B K"], Int[Tensor, "B"]]:
        """The joints that move any of `POINTS` consecutive body points, and how many these are.

        Few joints move points that lie together, so that the kernels need not ask all of them.
        """
        blocks = (self.weights > 0).split(POINTS, 1)
        joints = [block.any(1).nonzero()[:, 0].int() for block in blocks]
        count = torch.tensor([len(some) for some in joints], dtype=torch.int32, device=self.weights.device)
        return torch.nn.utils.rnn.pad_sequence(joints, batch_first=True), count


def _chain(parents: Sequence[int], joint: int) -> list[int]:
    """A joint and those that it hangs on, up to the root."""
    return [joint] if joint == 0 else [joint, *_chain(parents, parents[joint])]


def chains(
    rotation: Float[Tensor, "F J 3"], transl: Float[Tensor, "F 3"], fitted: Fitted
) -> tuple[Float[Tensor, "F J 3 4"], Float[Tensor, "F 4 4"]]:
    """The kinematic chains of corrected poses.

    Args:
        rotation, transl: corrections (`pose/corrections.py`), axis-angle and metres.
        fitted: the fitted poses.

    Returns:
        For each joint its rotation and position (m) in posed space; and `world_from_posed`.
    """
    turned = fitted.rotation @ skinning.axis_angle_to_matrix(rotation)
    root = torch.eye(3, device=turned.device).expand_as(turned[:, :1])
    bones = skinning.forward_kinematics(
        torch.cat([root, turned[:, 1:]], 1), fitted.joints, [max(parent, 0) for parent in fitted.parents.tolist()]
    )
    position = skinning.transform(bones, fitted.joints.expand(len(bones), -1, -1))
    pelvis = fitted.joints[0]
    shift = fitted.rotation[:, 0] @ pelvis - turned[:, 0] @ pelvis  # the root joint stays where it is
    world = skinning.rigid(turned[:, 0], fitted.transl + transl + shift)
    return torch.cat([bones[..., :3, :3], position[..., None]], -1), world


def maps(chain: Float[Tensor, "F J 3 4"], fitted: Fitted) -> Float[Tensor, "F V 3 4"]:
    """`PosedBodies.canonical_from_posed` of kinematic chains."""
    moved = chain[..., 3] - (chain[..., :3] @ fitted.joints[..., None])[..., 0]
    bones = torch.cat([chain[..., :3], moved[..., None]], -1).flatten(2)
    posed = (fitted.weights.t() @ bones).unflatten(-1, (3, 4))
    inverse = skinning.invert_linear(posed[..., :3])
    canonical = fitted.canonical_from_rest.t().unflatten(1, (3, 4))
    linear = canonical[..., :3] @ inverse
    return torch.cat([linear, canonical[..., 3:] - linear @ posed[..., 3:]], -1)
