"""The first estimate from metric 3D points: trunk and head by rigid alignment, limbs by bone directions."""

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.geometry import skinning
from preprocess.body_fit.geometry import (
    axis_angle_from_matrix,
    rigid_rotation,
    rotation_between,
    sixd_from_matrix,
)
from preprocess.body_fit.sequence import BodySequence
from preprocess.skeleton import NAMES

TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("ankle", "foot_index"))


@torch.no_grad()
def init_from_points(
    sequence: BodySequence, world: Float[Tensor, "F L 3"], image: Float[Tensor, "F L 2"],
    weight: Float[Tensor, "F L"], K: Float[Tensor, "3 3"],
) -> None:  # fmt: skip
    """Sets root, pose and pelvis of every frame of the sequence.

    Args:
        sequence: its shape is kept.
        world: the L points in 3D (m; camera axes, any origin).
        image: the same points in the pictures (pixels).
        weight: how far to trust each point in the pictures.
        K: the camera's intrinsics (pixels).
    """
    body = sequence.body
    joint = {name: i for i, name in enumerate(body.joint_names)}
    point = {name: i for i, name in enumerate(NAMES)}
    basis = body.basis(sequence.shape_vector())
    rest = torch.einsum("k,kljc->lc", basis, sequence.landmark_basis[..., :3])
    local = torch.zeros_like(sequence.pose)

    def alignment(names: tuple[str, ...]) -> Float[Tensor, "F 3 3"]:
        chosen = [point[n] for n in names]
        return rigid_rotation(rest[chosen].expand(len(world), -1, -1), world[:, chosen])

    root = alignment(TRUNK)
    sequence.root.copy_(sixd_from_matrix(root))
    head = axis_angle_from_matrix(root.transpose(-1, -2) @ alignment(HEAD))
    local[:, joint["neck"]] = local[:, joint["head"]] = head / 2
    for side in ("left", "right"):
        parents = {"shoulder": root, "hip": root}  # camera_from_rest rotation of each joint's parent
        for start, end in LIMBS:
            a, b = point[f"{side}_{start}"], point[f"{side}_{end}"]
            parent = parents[start]
            seen = (parent.transpose(-1, -2) @ (world[:, b] - world[:, a])[..., None])[..., 0]
            turn = rotation_between(rest[b] - rest[a], seen)
            local[:, joint[f"{side}_{start}"]] = turn
            parents[end] = parent @ skinning.axis_angle_to_matrix(turn)
    sequence.pose.copy_(local)
    place_pelvis(sequence, image, weight, K)


@torch.no_grad()
def place_pelvis(
    sequence: BodySequence, image: Float[Tensor, "F L 2"], weight: Float[Tensor, "F L"], K: Float[Tensor, "3 3"]
) -> None:
    """Sets the pelvis of every frame so that the posed landmarks project onto `image` (pixels).

    Weighted linear least squares in each frame by itself.
    """
    posed = sequence()
    relative = posed.landmarks - posed.joints[:, :1]  # F L 3
    rays = torch.cat([image, torch.ones_like(image[..., :1])], -1) @ torch.linalg.inv(K).T
    # (relative + t)_xy = ray_xy (relative + t)_z
    zero, one = torch.zeros_like(weight), torch.ones_like(weight)
    rows = torch.stack([torch.stack([one, zero, -rays[..., 0]], -1), torch.stack([zero, one, -rays[..., 1]], -1)], -2)
    right = rays[..., :2] * relative[..., 2:] - relative[..., :2]
    rows, right = (rows * weight[..., None, None]).flatten(1, 2), (right * weight[..., None]).flatten(1, 2)
    # PyTorch's default driver on a CPU, gelsy, begins with whatever is in memory, and the last bits depend on that.
    solved = torch.linalg.lstsq(rows, right[..., None], driver="gelsd").solution[..., 0]
    sequence.pelvis.copy_(solved / posed.size)
