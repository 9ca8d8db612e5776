"""Rotations and the pinhole projection: pure functions that the parts of the body fit share."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

NEAREST = 0.1  # metres: points nearer to the camera are projected as if they were this far away


def project(points: Float[Tensor, "*batch 3"], K: Float[Tensor, "3 3"]) -> Float[Tensor, "*batch 2"]:
    """Projects points (m, camera axes) to pixels. Depths below 10 cm count as 10 cm, so that gradients stay finite."""
    return points[..., :2] / points[..., 2:].clamp_min(NEAREST) * torch.stack([K[0, 0], K[1, 1]]) + K[:2, 2]


def matrix_from_6d(x: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation whose first two columns span the same plane as the two 3-vectors in x (Gram-Schmidt).

    Unlike axis-angle, this parametrisation has no singularity (Zhou et al., CVPR 2019).
    """
    a = nn.functional.normalize(x[..., :3], dim=-1)
    b = nn.functional.normalize(x[..., 3:] - (a * x[..., 3:]).sum(-1, keepdim=True) * a, dim=-1)
    return torch.stack([a, b, torch.linalg.cross(a, b)], -1)


def sixd_from_matrix(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 6"]:
    """The first two columns of a rotation: what `matrix_from_6d` turns back into it."""
    return torch.cat([rotation[..., 0], rotation[..., 1]], -1)


def rigid_rotation(
    source: Float[Tensor, "*batch N 3"], target: Float[Tensor, "*batch N 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """The rotation R that minimises sum |R source - target|^2 of the centred point sets (Kabsch 1976)."""
    source = source - source.mean(-2, keepdim=True)
    target = target - target.mean(-2, keepdim=True)
    u, _, vt = torch.linalg.svd(target.transpose(-1, -2) @ source)
    sign = torch.ones_like(u[..., 0])
    sign[..., 2] = torch.linalg.det(u @ vt)
    return (u * sign[..., None, :]) @ vt


def rotation_between(a: Float[Tensor, "*#batch 3"], b: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Axis-angle vector (radians) of the smallest rotation that takes direction a to direction b."""
    a, b = torch.broadcast_tensors(a, b)
    axis = torch.linalg.cross(a, b)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, (a * b).sum(-1, keepdim=True))
    return axis / sine.clamp_min(1e-8) * angle


def axis_angle_from_matrix(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Axis-angle vector (radians) of a rotation matrix, with angles in [0, pi]: the inverse of Rodrigues' formula.

    It goes through the unit quaternion, which is well conditioned near pi.
    """
    m = matrix
    diagonal = torch.stack([m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]], -1)
    trace = diagonal.sum(-1)
    # four equivalent unnormalised quaternions (w, x, y, z): the one with the largest leading part is well conditioned
    w, x, y, z = 1 + trace, *(1 - trace[..., None] + 2 * diagonal).unbind(-1)
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    p, q, r = m[..., 1, 0] + m[..., 0, 1], m[..., 2, 0] + m[..., 0, 2], m[..., 2, 1] + m[..., 1, 2]
    rows = torch.stack([torch.stack(row, -1) for row in ([w, a, b, c], [a, x, p, q], [b, p, y, r], [c, q, r, z])], -2)
    best = torch.stack([w, x, y, z], -1).argmax(-1)
    quaternion = torch.gather(rows, -2, best[..., None, None].expand(*best.shape, 1, 4))[..., 0, :]
    quaternion = torch.nn.functional.normalize(quaternion, dim=-1)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    sine = quaternion[..., 1:].norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, quaternion[..., :1])
    return torch.where(sine > 1e-7, quaternion[..., 1:] / sine.clamp_min(1e-12) * angle, 2 * quaternion[..., 1:])
