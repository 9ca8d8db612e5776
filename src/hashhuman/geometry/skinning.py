"""Linear blend skinning and its inverse, as pure functions.

Notation: J joints, V vertices, `*batch` any batch axes. Matrices act on column vectors. Transforms are named by their
frames: `posed_from_rest[..., j, :, :]` maps a point that moves rigidly with joint j from rest to posed space. Method:
SMPL (Loper et al., SIGGRAPH Asia 2015), Eqs. 2-4, without its blend shapes.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def axis_angle_to_matrix(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of axis-angle vectors (radians), by Rodrigues' formula.

    Values and gradients are smooth at zero.
    """
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    squared = (axis_angle * axis_angle).sum(-1)[..., None, None]
    small = squared < 1e-8
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    sine = torch.where(small, 1 - squared / 6, angle.sin() / angle)  # sin(a) / a
    cosine = torch.where(small, 0.5 - squared / 24, (1 - angle.cos()) / angle**2)  # (1 - cos a) / a^2
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + sine * cross + cosine * (cross @ cross)


def rigid(rotation: Float[Tensor, "*batch 3 3"], translation: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4 4"]:
    """The homogeneous matrix of x -> rotation x + translation."""
    top = torch.cat([rotation, translation[..., None]], -1)
    bottom = torch.zeros_like(top[..., :1, :])
    bottom[..., 3] = 1
    return torch.cat([top, bottom], -2)


def forward_kinematics(
    rotations: Float[Tensor, "*batch J 3 3"], joints: Float[Tensor, "*#batch J 3"], parents: list[int]
) -> Float[Tensor, "*batch J 4 4"]:
    """The bone transforms `posed_from_rest` of a kinematic tree.

    The root joint stays at its rest position; the caller applies global motion.

    Args:
        rotations: rotation of each joint relative to its parent.
        joints: positions of the joints at rest (m).
        parents: parent of each joint, which precedes it; `parents[0]` is ignored.
    """
    joints = joints.expand(*rotations.shape[:-2], 3)
    root, *children = joints.unbind(-2)
    bones = [root, *(child - joints[..., parent, :] for child, parent in zip(children, parents[1:]))]
    local = rigid(rotations, torch.stack(bones, -2)).unbind(-3)
    world = [local[0]]
    for j in range(1, len(parents)):
        world.append(world[parents[j]] @ local[j])
    posed = torch.stack(world, -3)
    rotation = posed[..., :3, :3]
    return rigid(rotation, posed[..., :3, 3] - (rotation @ joints[..., None])[..., 0])


def blend(
    lbs_weights: Float[Tensor, "*batch J"], bone_transforms: Float[Tensor, "J 4 4"]
) -> Float[Tensor, "*batch 4 4"]:
    """The blended transform of each point: the sum over joints of w_j T_j."""
    return (lbs_weights @ bone_transforms.flatten(1)).unflatten(-1, (4, 4))


def transform(matrices: Float[Tensor, "*#batch 4 4"], points: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Applies an affine matrix to each point (m)."""
    x, y, z, moved = matrices[..., :3, :].unbind(-1)
    for column, along in zip((x, y, z), points.split(1, -1)):  # faster than a batched product of small matrices
        moved = torch.addcmul(moved, column, along)
    return moved


def skin(
    points: Float[Tensor, "*#batch V 3"], lbs_weights: Float[Tensor, "V J"],
    bone_transforms: Float[Tensor, "*batch J 4 4"],
) -> Float[Tensor, "*batch V 3"]:  # fmt: skip
    """Linear blend skinning: the posed position (m) of each point.

    Args:
        points: positions at rest (m), the same for all poses or different ones.
        lbs_weights: skinning weights.
        bone_transforms: of each pose, as from `forward_kinematics`.
    """
    return transform(torch.einsum("vj,...jab->...vab", lbs_weights, bone_transforms), points)


def invert_linear(matrices: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Inverses, by the adjugate.

    No solver is called, so that the CPU does not wait for a GPU and a CUDA graph can capture the computation.
    """
    a, b, c = matrices.unbind(-1)
    adjugate = torch.stack([torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], -2)
    return adjugate / (a * torch.linalg.cross(b, c)).sum(-1)[..., None, None]


def invert_affine(matrices: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    """Inverses of affine matrices."""
    inverse = invert_linear(matrices[..., :3, :3])
    return rigid(inverse, -(inverse @ matrices[..., :3, 3:])[..., 0])
