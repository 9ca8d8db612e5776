"""The first estimate from metric 3D points: trunk and head by rigid alignment, limbs by bone directions."""

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.geometry import skinning
from preprocess.body_fit.evidence.observe import fill
from preprocess.body_fit.evidence.turns import TURNED, Turns
from preprocess.body_fit.geometry import (
    axis_angle_from_matrix,
    rigid_rotation,
    rotation_between,
    sixd_from_matrix,
)
from preprocess.body_fit.sequence import BodySequence
from preprocess.skeleton import NAMES

KNOWN = 0.3  # trust in a measured turn of the hand that the first estimate takes
MOST_TWIST = 1.2  # radians: of a hand that turns farther about its forearm, the palm was taken for the back
SHARE = 0.5  # of the twist that is the forearm's, the rest is the wrist's
TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("ankle", "foot_index"))


@torch.no_grad()
def init_from_points(
    sequence: BodySequence, world: Float[Tensor, "F L 3"], image: Float[Tensor, "F L 2"],
    weight: Float[Tensor, "F L"], K: Float[Tensor, "3 3"], turns: Turns,
) -> None:  # fmt: skip
    """Sets root, pose and pelvis of every frame of the sequence.

    Args:
        sequence: its shape is kept.
        world: the L points in 3D (m; camera axes, any origin).
        image: the same points in the pictures (pixels).
        weight: how far to trust each point in the pictures.
        K: the camera's intrinsics (pixels).
        turns: how the hands are turned; forearms without a measurement turn as before and after.
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
        elbow, wrist = joint[f"{side}_elbow"], joint[f"{side}_wrist"]
        bone = rest[point[f"{side}_wrist"]] - rest[point[f"{side}_elbow"]]
        measured = TURNED.index(f"{side}_wrist")
        local[:, elbow], local[:, wrist] = turn_forearm(
            local[:, elbow], parents["wrist"].mT @ turns.rotation[:, measured], bone, turns.trust[:, measured]
        )
    sequence.pose.copy_(local)
    place_pelvis(sequence, image, weight, K)


def turn_forearm(
    elbow: Float[Tensor, "F 3"], hand: Float[Tensor, "F 3 3"], bone: Float[Tensor, "3"], trust: Float[Tensor, "F"]
) -> tuple[Float[Tensor, "F 3"], Float[Tensor, "F 3"]]:
    """The rotations (axis-angle) of elbow and wrist that turn the hand as measured.

    Half of the twist about the forearm's axis is the forearm's, and everything else the wrist's. Pictures of little
    trust, or with a twist that no forearm has, take the values between those of their neighbours.

    Args:
        elbow: the elbow's rotation, of a forearm that is not twisted.
        hand: the measured rotation of the hand against that forearm.
        bone: from the elbow to the wrist at rest.
        trust: in the measurements.
    """
    axis = torch.nn.functional.normalize(bone, dim=-1)
    twist = twist_about(hand, axis)
    known = ((trust >= KNOWN) & (twist.abs() < MOST_TWIST)).cpu().numpy()
    if not known.any():
        return elbow, torch.zeros_like(elbow)
    twist = SHARE * twist
    bent = axis_angle_from_matrix(skinning.axis_angle_to_matrix(-twist[:, None] * axis) @ hand)
    twist, wrist = (torch.from_numpy(fill(x.cpu().numpy(), known)).to(elbow) for x in (twist[:, None], bent))
    twisted = skinning.axis_angle_to_matrix(elbow) @ skinning.axis_angle_to_matrix(twist * axis)
    return axis_angle_from_matrix(twisted), wrist


def twist_about(rotation: Float[Tensor, "F 3 3"], axis: Float[Tensor, "3"]) -> Float[Tensor, "F"]:
    """The angle (radians) of a rotation about an axis: its twist, if it is split into that and a swing across."""
    vector = axis_angle_from_matrix(rotation)
    half = vector.norm(dim=-1) / 2
    along = (vector * axis).sum(-1) / vector.norm(dim=-1).clamp_min(1e-9) * half.sin()
    return 2 * torch.atan2(along, half.cos())


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
