"""Poses of one skeleton for a body that rests in another: by the directions of bones, since angles do not transfer.

Every joint j of the body gets an alignment A_j: the rotation that takes its own rest to the source's, so that a bone
that points along d at rest points along the source's A_j d. A joint that the source turns by G_j is then turned by
G_j A_j: bones point where the source's do, and turn about themselves as the source's do. Along a limb, A_j is the least
rotation beyond its parent's, so that only the bend differs and nothing is twisted. Trunk, head and feet rest alike in
both (upright, facing ahead, soles flat): they have no alignment.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.body.template import BodyTemplate
from hashhuman.geometry.skinning import axis_angle_to_matrix
from preprocess.body_fit.init.from_points import axis_angle_from_matrix, rotation_between

LIMBS = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist", "wrist": "hand"}
T_POSE = {"hip": (0.09, -1, 0), "knee": (0, -1, -0.09), "shoulder": (1, 0, 0), "elbow": (1, 0, 0), "wrist": (1, 0, 0)}
"""Bones of SMPL's family at rest, on the person's left (x), y up, z ahead: arms straight out to the sides, palms down,
thighs opened by five degrees and shanks back by as many, as figures of the T-pose show it (Loper et al., SIGGRAPH Asia
2015, figure 3). Read off and rounded: the model's own joints are not needed, and not given."""


def limb_ends(name: str) -> tuple[str, str | None]:
    """A joint's name without its side, and the joint at the other end of its limb: left_hip -> hip, left_knee."""
    side, _, base = name.rpartition("_")
    return base, f"{side}_{LIMBS[base]}" if side and base in LIMBS else None


def t_pose(names: Sequence[str]) -> dict[str, Tensor]:
    """Directions of the limbs of SMPL's T-pose, for those of the named joints that move one."""
    directions = {}
    for name in names:
        base, end = limb_ends(name)
        if end is not None:
            x, y, z = T_POSE[base]
            directions[name] = torch.tensor([-x if name.startswith("right") else x, y, z], dtype=torch.float32)
    return directions


def measured_limbs(
    rotations: Float[np.ndarray, "F J 3 3"], joints: Float[np.ndarray, "F J 3"], names: Sequence[str],
    parents: Sequence[int],
) -> dict[str, Tensor]:  # fmt: skip
    """The source's limbs at rest (m), from its rotations and the positions that it gives: averaged over the frames.

    Joints that are NaN throughout are left out.
    """
    turns = world_rotations(torch.from_numpy(rotations), parents).numpy()
    limbs = {}
    for j, name in enumerate(names):
        _, end = limb_ends(name)
        if end is not None and end in names:
            bones = joints[:, list(names).index(end)] - joints[:, j]
            known = np.isfinite(bones).all(1)
            if known.any():
                at_rest = np.einsum("fji,fj->fi", turns[known, j], bones[known])
                limbs[name] = torch.from_numpy(at_rest.mean(0)).float()
    return limbs


def world_rotations(rotations: Float[Tensor, "F J 3 3"], parents: Sequence[int]) -> Float[Tensor, "F J 3 3"]:
    """Each joint's rotation against the axes that the root's is against."""
    turned = [rotations[:, 0]]
    for j in range(1, rotations.shape[1]):
        turned.append(turned[parents[j]] @ rotations[:, j])
    return torch.stack(turned, 1)


def alignment(template: BodyTemplate, directions: Mapping[str, Tensor]) -> Float[Tensor, "J 3 3"]:
    """A_j: from the body's rest to that of a source whose limbs rest in `directions`, by the joint that moves them.

    A body that rests as the source does (no directions) has no alignment.
    """
    place = {name: j for j, name in enumerate(template.joint_names)}
    aligned = torch.eye(3).repeat(len(place), 1, 1)
    for name, j in place.items():
        base, end = limb_ends(name)
        if base in (*LIMBS, "hand"):
            aligned[j] = aligned[template.parents[j]]
        if name in directions and end in place:
            own = aligned[j] @ (template.joints[place[end]] - template.joints[j])
            aligned[j] = axis_angle_to_matrix(rotation_between(own, directions[name])) @ aligned[j]
    return aligned


def retarget(
    rotations: Float[Tensor, "F S 3 3"], names: Sequence[str], parents: Sequence[int], template: BodyTemplate,
    aligned: Float[Tensor, "J 3 3"],
) -> tuple[Float[Tensor, "F 3 3"], Float[Tensor, "F J 3"]]:  # fmt: skip
    """Root rotation and pose (axis-angle, the root's row zero) under which the body's bones lie as the source's.

    `rotations` are the source's S joints', each against its parent. Joints that the source lacks stay at rest.
    """
    turned = world_rotations(rotations, parents)
    body = []
    for j, name in enumerate(template.joint_names):
        body.append(turned[:, names.index(name)] @ aligned[j] if name in names else body[template.parents[j]])
    pose = torch.zeros(len(rotations), len(body), 3)
    for j in range(1, len(body)):
        pose[:, j] = axis_angle_from_matrix(body[template.parents[j]].transpose(-1, -2) @ body[j])
    return body[0], pose
