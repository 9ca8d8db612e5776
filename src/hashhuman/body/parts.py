"""Parts of the body, given as lists of joint names."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Int

from hashhuman.body.template import BodyTemplate
from hashhuman.errors import UserError

# The five parts of instant-nvr (Geng et al., CVPR 2023), in its order.
INSTANT_NVR_PARTS: dict[str, tuple[str, ...]] = {
    "body": ("pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar"),
    "leg": (
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_foot", "right_foot",
    ),
    "head": ("neck", "head"),
    "larm": ("left_shoulder", "left_elbow", "left_wrist", "left_hand"),
    "rarm": ("right_shoulder", "right_elbow", "right_wrist", "right_hand"),
}  # fmt: skip


def part_of_joints(joint_names: Sequence[str], parts: Mapping[str, Sequence[str]]) -> list[int]:
    """The part of each joint, as a position in `parts`.

    Args:
        joint_names: the body's joints.
        parts: name -> joint names. Joints that the body lacks are ignored.

    Raises:
        UserError: if a joint lies in no part or in several, or a part has none of the body's joints.
    """
    owners = {name: [i for i, joints in enumerate(parts.values()) if name in joints] for name in joint_names}
    if wrong := [f"{name} (in {len(owner)})" for name, owner in owners.items() if len(owner) != 1]:
        raise UserError(f"Each joint of the body must lie in exactly one part, unlike {', '.join(wrong)}.")
    if empty := [part for part, joints in parts.items() if not set(joints) & set(joint_names)]:
        raise UserError(
            f"The body has none of the joints of the part {empty[0]!r}; its joints: {', '.join(joint_names)}."
        )
    return [owner[0] for owner in owners.values()]


def part_of_vertices(template: BodyTemplate, parts: Mapping[str, Sequence[str]]) -> Int[torch.Tensor, "V"]:
    """The part of each vertex (position in `parts`): that of the joint with the largest weight, as in instant-nvr.

    Raises UserError as `part_of_joints` does.
    """
    part_of_joint = torch.tensor(part_of_joints(template.joint_names, parts), device=template.lbs_weights.device)
    return part_of_joint[template.lbs_weights.argmax(1)]
