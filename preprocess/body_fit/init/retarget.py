"""Transfers poses between skeletons whose rest poses differ, by the directions of their bones.

Joint angles are relative to the rest pose, so they cannot be copied from one skeleton to the other. Every joint j of
the body gets an alignment A_j instead, the rotation from its own rest pose to that of the source: a bone that rests
along d here rests along A_j d there. Where the source rotates the joint by G_j, the body rotates it by G_j A_j, so that
its bones point and twist as the source's do. Along a limb, A_j is the smallest rotation relative to its parent's, which
bends the limb without twisting it. Trunk, head and feet have no alignment, since they rest alike in both skeletons
(upright, facing forward, soles flat).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.body.template import BodyTemplate
from hashhuman.geometry.skinning import axis_angle_to_matrix
from preprocess.body_fit.geometry import axis_angle_from_matrix, rotation_between

LIMBS = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist", "wrist": "hand"}
T_POSE = {"hip": (0.09, -1, 0), "knee": (0, -1, -0.09), "shoulder": (1, 0, 0), "elbow": (1, 0, 0), "wrist": (1, 0, 0)}
"""Directions of the left limbs of the SMPL family at rest (x to the person's left, y up, z forward): arms straight out
to the sides, palms down, thighs spread by five degrees, shanks back by five. Read off figure 3 of Loper et al.
(SIGGRAPH Asia 2015) and rounded; the licensed model's own joints are neither needed nor reproduced."""


def limb_ends(name: str) -> tuple[str, str | None]:
    """A joint's name without its side, and the joint at the far end of its limb, if any: left_hip -> hip, left_knee."""
    side, _, base = name.rpartition("_")
    return base, f"{side}_{LIMBS[base]}" if side and base in LIMBS else None


def t_pose(names: Sequence[str]) -> dict[str, Tensor]:
    """Limb directions (3,) of SMPL's T-pose in the rest frame, by the joint that moves the limb."""
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
    """The source's limbs at rest: vectors (3,) in metres by the joint that moves the limb, averaged over the frames.

    Args:
        rotations: of each joint against its parent; the root's is against the axes of `joints`.
        joints: positions (m); NaN where they are unknown. A limb that is never known is left out.
        names: of the J joints.
        parents: of the J joints.
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
    """Each joint's rotation in the axes of the root's rotation, from the rotations against the parents."""
    turned = [rotations[:, 0]]
    for j in range(1, rotations.shape[1]):
        turned.append(turned[parents[j]] @ rotations[:, j])
    return torch.stack(turned, 1)


def alignment(template: BodyTemplate, directions: Mapping[str, Tensor]) -> Float[Tensor, "J 3 3"]:
    """The rotations A_j from the body's rest pose to that of the source.

    Args:
        template: the body at rest.
        directions: of the source's limbs at rest (3,), by the joint that moves the limb. If there are none, both
            skeletons rest alike, and every A_j is the identity.
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
    """The pose under which the body's bones point as those of the source do.

    Args:
        rotations: of the source's S joints, each against its parent.
        names, parents: of those joints.
        template: the body; joints that the source lacks stay at rest.
        aligned: the alignment A_j of each of its J joints.

    Returns:
        The root's rotation in the source's axes, and the pose (axis-angle, radians; the root's row is zero).
    """
    turned = world_rotations(rotations, parents)
    body = []
    for j, name in enumerate(template.joint_names):
        body.append(turned[:, names.index(name)] @ aligned[j] if name in names else body[template.parents[j]])
    pose = torch.zeros(len(rotations), len(body), 3)
    for j in range(1, len(body)):
        pose[:, j] = axis_angle_from_matrix(body[template.parents[j]].transpose(-1, -2) @ body[j])
    return body[0], pose
