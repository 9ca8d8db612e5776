"""A first pose for every frame from metric 3D points: trunk and head by rigid alignment, limbs by bone directions."""

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.geometry import skinning
from preprocess.body_fit.optimise.sequence import BodySequence
from preprocess.skeleton import NAMES

TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("ankle", "foot_index"))


def rigid_rotation(
    source: Float[Tensor, "*batch N 3"], target: Float[Tensor, "*batch N 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """The rotation R that minimises sum |R source - target|^2 of centred point sets (Kabsch)."""
    source = source - source.mean(-2, keepdim=True)
    target = target - target.mean(-2, keepdim=True)
    u, _, vt = torch.linalg.svd(target.transpose(-1, -2) @ source)
    sign = torch.ones_like(u[..., 0])
    sign[..., 2] = torch.linalg.det(u @ vt)
    return (u * sign[..., None, :]) @ vt


def rotation_between(a: Float[Tensor, "*#batch 3"], b: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Axis-angle of the smallest rotation that takes direction a to direction b."""
    a, b = torch.broadcast_tensors(a, b)
    axis = torch.linalg.cross(a, b)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, (a * b).sum(-1, keepdim=True))
    return axis / sine.clamp_min(1e-8) * angle


def axis_angle_from_matrix(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Inverse of Rodrigues' formula; angles in [0, pi]. Goes through the unit quaternion, so pi is no trouble."""
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


@torch.no_grad()
def initialise(
    sequence: BodySequence, world: Float[Tensor, "F L 3"], image: Float[Tensor, "F L 2"],
    weight: Float[Tensor, "F L"], K: Float[Tensor, "3 3"],
) -> None:  # fmt: skip
    """Sets root, pose and pelvis of every frame.

    `world` are 3D points in camera orientation (m, any origin), `image` pixels, `weight` how far to trust each.
    """
    body = sequence.body
    joint = {name: i for i, name in enumerate(body.joint_names)}
    point = {name: i for i, name in enumerate(NAMES)}
    basis = body.basis(sequence.shape_vector())
    rest = torch.einsum("k,kljc->lc", basis, sequence.landmark_basis[..., :3])
    local = torch.zeros_like(sequence.pose)

    def turned(names: tuple[str, ...]) -> Float[Tensor, "F 3 3"]:
        chosen = [point[n] for n in names]
        return rigid_rotation(rest[chosen].expand(len(world), -1, -1), world[:, chosen])

    root = turned(TRUNK)
    sequence.root.copy_(torch.cat([root[..., 0], root[..., 1]], -1))
    head = axis_angle_from_matrix(root.transpose(-1, -2) @ turned(HEAD))
    local[:, joint["neck"]] = local[:, joint["head"]] = head / 2
    for side in ("left", "right"):
        frame = {"shoulder": root, "hip": root}  # rotation of the limb's parent
        for start, end in LIMBS:
            a, b = point[f"{side}_{start}"], point[f"{side}_{end}"]
            parent = frame[start]
            seen = (parent.transpose(-1, -2) @ (world[:, b] - world[:, a])[..., None])[..., 0]
            turn = rotation_between(rest[b] - rest[a], seen)
            local[:, joint[f"{side}_{start}"]] = turn
            frame[end] = parent @ skinning.axis_angle_to_matrix(turn)
    sequence.pose.copy_(local)
    place(sequence, image, weight, K)


@torch.no_grad()
def place(
    sequence: BodySequence, image: Float[Tensor, "F L 2"], weight: Float[Tensor, "F L"], K: Float[Tensor, "3 3"]
) -> None:
    """Sets the pelvis so that the landmarks project onto `image`: linear least squares in each frame."""
    posed = sequence()
    relative = posed.landmarks - posed.joints[:, :1]  # F L 3
    rays = torch.cat([image, torch.ones_like(image[..., :1])], -1) @ torch.linalg.inv(K).T
    # (relative + t)_xy = ray_xy (relative + t)_z
    zero, one = torch.zeros_like(weight), torch.ones_like(weight)
    rows = torch.stack([torch.stack([one, zero, -rays[..., 0]], -1), torch.stack([zero, one, -rays[..., 1]], -1)], -2)
    right = rays[..., :2] * relative[..., 2:] - relative[..., :2]
    rows, right = (rows * weight[..., None, None]).flatten(1, 2), (right * weight[..., None]).flatten(1, 2)
    solved = torch.linalg.lstsq(rows, right[..., None]).solution[..., 0]
    sequence.pelvis.copy_(solved / posed.size)
