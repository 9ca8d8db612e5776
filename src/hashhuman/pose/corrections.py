"""Corrections of fitted poses, and how they are composed with the fit.

A correction has a rotation of each joint, in the joint's own axes: R = R_fit exp(rotation). Row 0 belongs to the root,
which is the whole body: it turns `orient` about the root joint, so that the body stays where it is. `transl` is added.
"""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.body.template import BodyPose
from hashhuman.geometry.skinning import axis_angle_to_matrix


@dataclasses.dataclass(frozen=True)
class Correction:
    """The correction of one frame's pose."""

    rotation: Float[Tensor, "J 3"]  # axis-angle (radians)
    transl: Float[Tensor, "3"]  # metres, world

    def of(self, pose: BodyPose, pelvis: Float[Tensor, "3"]) -> BodyPose:
        """The corrected pose, on the CPU; without gradients.

        A rotation whose correction is zero keeps its numbers, bit by bit.

        Args:
            pose: the fitted pose.
            pelvis: position of the root joint at rest (m).
        """
        rotation = self.rotation.detach().double().cpu()
        fitted = torch.cat([pose.orient[None], pose.body_pose[1:]]).detach().cpu()
        before = axis_angle_to_matrix(fitted.double())
        after = before @ axis_angle_to_matrix(rotation)
        turned = torch.where((rotation == 0).all(1, keepdim=True), fitted, matrix_to_axis_angle(after).to(fitted))
        shift = (before[0] - after[0]) @ pelvis.detach().double().cpu()  # keeps the root joint where it is
        transl = pose.transl.detach().cpu() + (self.transl.detach().double().cpu() + shift).to(fitted)
        return BodyPose(torch.cat([pose.body_pose[:1].detach().cpu(), turned[1:]]), turned[0], transl)


def matrix_to_axis_angle(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Axis-angle vectors (radians, at most pi long) of rotation matrices, by way of unit quaternions.

    Of the four ways to compute a quaternion the one with the largest component is taken, which is stable everywhere
    (Shepperd 1978).
    """
    m = matrix
    trace = m.diagonal(dim1=-2, dim2=-1).sum(-1)
    squares = torch.stack([trace, m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]], -1)  # 4 q_i^2 = 1 + 2 x - trace
    squares = torch.cat([1 + trace[..., None], 1 + 2 * squares[..., 1:] - trace[..., None]], -1)
    skew = torch.stack(
        [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], -1
    )  # 4 w (x, y, z)
    mixed = m + m.transpose(-1, -2)  # off the diagonal: 4 q_i q_j
    rows = [torch.cat([squares[..., :1], skew], -1)]
    for i in range(3):
        row = [skew[..., i]] + [squares[..., 1 + i] if j == i else mixed[..., i, j] for j in range(3)]
        rows.append(torch.stack(row, -1))
    largest = squares.argmax(-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    quaternion = torch.stack(rows, -2).gather(-2, largest)[..., 0, :]
    quaternion = quaternion / quaternion.norm(dim=-1, keepdim=True)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    w, xyz = quaternion[..., :1], quaternion[..., 1:]
    sine = xyz.norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, w)
    return xyz * torch.where(sine < 1e-9, 2.0 / w.clamp_min(1e-3), angle / sine.clamp_min(1e-12))
