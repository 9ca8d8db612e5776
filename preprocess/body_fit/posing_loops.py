"""Poses the skeleton and chosen vertices in many frames, in loops for the CPU: one pass forward, one backward.

Most vertices follow two or three of the joints, so that only weights that are not zero are kept.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.cpu.loops import array, compiled, in_parallel
from hashhuman.io.threads import cores


def over_frames(loop: Callable[..., Any], frames: int, *arguments: Any) -> list[Any]:
    """`in_parallel` over frames, on all cores, whatever PyTorch uses: during a fit, that is one (`native.fit`).

    Sums over frames are rounded otherwise with another number of cores.
    """
    return in_parallel(loop, frames, *arguments, at_least=1, threads=cores())


@dataclasses.dataclass(frozen=True)
class SparseWeights:
    """Skinning weights of M vertices, of which each follows at most S joints."""

    joint: Int[np.ndarray, "M S"]
    """Joints of each vertex."""
    weight: Float[np.ndarray, "M S"]
    """Their weights; zero beyond `count`."""
    count: Int[np.ndarray, "M"]
    """How many joints each vertex follows."""

    @staticmethod
    def of(lbs_weights: Float[Tensor, "M J"]) -> "SparseWeights":
        """The weights that are not zero."""
        dense = array(lbs_weights)
        count = (dense != 0).sum(1)
        joint = np.argsort(dense == 0, axis=1, kind="stable")[:, : count.max()]
        return SparseWeights(
            joint.astype(np.int32), np.take_along_axis(dense, joint, 1).astype(np.float32), count.astype(np.int32)
        )


def forward_kinematics(
    rotations: Float[Tensor, "F J 3 3"], joints: Float[Tensor, "J 3"], parents: Sequence[int]
) -> Float[Tensor, "F J 4 4"]:
    """`hashhuman.geometry.skinning.forward_kinematics` of many frames."""
    return _Kinematics.apply(rotations, joints, np.array(parents, np.int32))  # type: ignore[return-value]


class _Kinematics(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rotations, joints, parents):  # type: ignore[override]
        transforms = torch.zeros(*rotations.shape[:2], 4, 4)
        over_frames(_pose, len(rotations), array(rotations), array(joints), parents, transforms.numpy())
        ctx.save_for_backward(rotations, joints, transforms)
        ctx.parents = parents
        return transforms

    @staticmethod
    def backward(ctx, of_transforms):  # type: ignore[override]
        rotations, joints, transforms = ctx.saved_tensors
        of_rotations = torch.empty_like(rotations, memory_format=torch.contiguous_format)
        of_joints = over_frames(
            _pose_backward, len(rotations), array(rotations), array(joints), ctx.parents, transforms.numpy(),
            array(of_transforms), of_rotations.numpy(),
        )  # fmt: skip
        return of_rotations, torch.from_numpy(sum(of_joints)), None


def skinned(
    bone_transforms: Float[Tensor, "F J 4 4"], skin: Float[Tensor, "M 3"], normals: Float[Tensor, "M 3"],
    weights: SparseWeights,
) -> tuple[Float[Tensor, "F M 3"], Float[Tensor, "F M 3"]]:  # fmt: skip
    """The vertices of each frame, by linear blend skinning, and their normals, which carry no gradient.

    Args:
        bone_transforms: posed_from_rest of every joint.
        skin: the vertices at rest (m).
        normals: at rest.
        weights: of the vertices.
    """
    return _Skinned.apply(bone_transforms, skin, normals, weights)  # type: ignore[return-value]


class _Skinned(torch.autograd.Function):
    @staticmethod
    def forward(ctx, bone_transforms, skin, normals, weights):  # type: ignore[override]
        ctx.save_for_backward(bone_transforms, skin)
        ctx.weights = weights
        vertices = torch.empty(len(bone_transforms), *skin.shape)
        turned = torch.empty_like(vertices)
        over_frames(
            _skin, len(vertices), _rows(bone_transforms), array(skin), array(normals), weights.joint, weights.weight,
            weights.count, vertices.numpy(), turned.numpy(),
        )  # fmt: skip
        ctx.mark_non_differentiable(turned)
        return vertices, turned

    @staticmethod
    def backward(ctx, of_vertices, _):  # type: ignore[override]
        bone_transforms, skin = ctx.saved_tensors
        weights = ctx.weights
        of_transforms = torch.zeros_like(bone_transforms)
        of_skin = over_frames(
            _skin_backward, len(of_vertices), _rows(bone_transforms), array(skin), weights.joint, weights.weight,
            weights.count, array(of_vertices), of_transforms.view(*bone_transforms.shape[:2], 16).numpy(),
        )  # fmt: skip
        return of_transforms, torch.from_numpy(sum(of_skin)), None, None


def _rows(transforms: Float[Tensor, "F J 4 4"]) -> Float[np.ndarray, "F J 16"]:
    return array(transforms).reshape(*transforms.shape[:2], 16)


@compiled
def _pose(first, last, rotations, joints, parents, transforms):
    """Writes the transforms of some frames' joints."""
    at = np.empty((len(joints), 3), np.float32)
    for frame in range(first, last):
        for j in range(len(joints)):
            mine, parent = transforms[frame, j], transforms[frame, parents[j]]
            mine[3, 3] = 1
            for i in range(3):
                at[j, i] = joints[j, i] if j == 0 else at[parents[j], i]
                for k in range(3):
                    if j == 0:
                        mine[i, k] = rotations[frame, j, i, k]
                    else:
                        at[j, i] += parent[i, k] * (joints[j, k] - joints[parents[j], k])
                        mine[i, k] = (
                            parent[i, 0] * rotations[frame, j, 0, k]
                            + parent[i, 1] * rotations[frame, j, 1, k]
                            + parent[i, 2] * rotations[frame, j, 2, k]
                        )
                mine[i, 3] = (
                    at[j, i] - mine[i, 0] * joints[j, 0] - mine[i, 1] * joints[j, 1] - mine[i, 2] * joints[j, 2]
                )


@compiled
def _pose_backward(first, last, rotations, joints, parents, transforms, of_transforms, of_rotations):
    """Writes the gradients of some frames' rotations, and returns what these frames add to that of the joints."""
    of_joints = np.zeros(joints.shape, np.float32)
    turn, at = np.empty((len(joints), 3, 3), np.float32), np.empty((len(joints), 3), np.float32)
    for frame in range(first, last):
        for j in range(len(joints)):  # of each joint's own rotation and position in the posed body
            for i in range(3):
                moved = of_transforms[frame, j, i, 3]
                at[j, i] = moved
                for k in range(3):
                    turn[j, i, k] = of_transforms[frame, j, i, k] - moved * joints[j, k]
                    of_joints[j, k] -= transforms[frame, j, i, k] * moved
        for j in range(len(joints) - 1, 0, -1):
            p = parents[j]
            for k in range(3):
                of_bone = np.float32(0)
                for i in range(3):
                    of_bone += transforms[frame, p, i, k] * at[j, i]
                    turn[p, i, k] += at[j, i] * (joints[j, k] - joints[p, k])
                    along = np.float32(0)
                    for c in range(3):
                        turn[p, i, k] += turn[j, i, c] * rotations[frame, j, k, c]
                        along += transforms[frame, p, c, i] * turn[j, c, k]
                    of_rotations[frame, j, i, k] = along
                of_joints[j, k] += of_bone
                of_joints[p, k] -= of_bone
            for i in range(3):
                at[p, i] += at[j, i]
        for i in range(3):
            of_joints[0, i] += at[0, i]
            for k in range(3):
                of_rotations[frame, 0, i, k] = turn[0, i, k]
    return of_joints


@compiled
def _skin(first, last, transforms, skin, normals, joint, weight, count, vertices, turned):
    """Writes the vertices and normals of some frames."""
    blended = np.empty(12, np.float32)
    for frame in range(first, last):
        for m in range(len(skin)):
            blended[:] = 0
            for s in range(count[m]):
                j, w = joint[m, s], weight[m, s]
                for i in range(12):
                    blended[i] += w * transforms[frame, j, i]
            x, y, z = skin[m]
            a, b, c = normals[m]
            for i in range(3):
                along = 4 * i
                rx, ry, rz = blended[along], blended[along + 1], blended[along + 2]
                vertices[frame, m, i] = rx * x + ry * y + rz * z + blended[along + 3]
                turned[frame, m, i] = rx * a + ry * b + rz * c


@compiled
def _skin_backward(first, last, transforms, skin, joint, weight, count, of_vertices, of_transforms):
    """Writes the gradients of some frames' transforms, and returns what these frames add to that of the skin."""
    of_skin = np.zeros(skin.shape, np.float32)
    blended, outer = np.empty(12, np.float32), np.empty(12, np.float32)
    for frame in range(first, last):
        for m in range(len(skin)):
            x, y, z = skin[m]
            for i in range(3):
                g = of_vertices[frame, m, i]
                outer[4 * i], outer[4 * i + 1], outer[4 * i + 2], outer[4 * i + 3] = g * x, g * y, g * z, g
            blended[:] = 0
            for s in range(count[m]):
                j, w = joint[m, s], weight[m, s]
                for i in range(12):
                    blended[i] += w * transforms[frame, j, i]
                    of_transforms[frame, j, i] += w * outer[i]
            for i in range(3):
                g = of_vertices[frame, m, i]
                for k in range(3):
                    of_skin[m, k] += blended[4 * i + k] * g
    return of_skin
