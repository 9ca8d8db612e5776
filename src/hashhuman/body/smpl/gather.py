"""Names the joints of SMPL's family, and groups those of SMPL+H and SMPL-X into SMPL's 24.

Fingers move with the hand, whose joint lies at its middle knuckle. Jaw and eyes move with the head. So poses of single
fingers, facial expressions and the pose blend shapes of these joints are lost.
"""

import dataclasses
import re

import numpy as np

from hashhuman.body.smpl.arrays import SmplArrays
from hashhuman.body.template import SMPL_JOINTS

_FINGERS = tuple(
    f"{side}_{finger}{bone}"
    for side in ("left", "right")
    for finger in ("index", "middle", "pinky", "ring", "thumb")
    for bone in (1, 2, 3)
)
_BODY = SMPL_JOINTS[:-2]  # all but the hands
_FACE = ("jaw", "left_eye", "right_eye")
FAMILY = {"SMPL": SMPL_JOINTS, "SMPL+H": _BODY + _FINGERS, "SMPL-X": _BODY + _FACE + _FINGERS}
_KNUCKLE = {"left_hand": "left_middle1", "right_hand": "right_middle1"}


def member(joints: int) -> str | None:
    """The model of SMPL's family with so many joints: "SMPL", "SMPL+H" or "SMPL-X"; None if there is none."""
    return next((name for name, names in FAMILY.items() if len(names) == joints), None)


def joint_of(name: str) -> str:
    """The joint of SMPL that a joint of the family moves with, e.g. 'left_ring2' -> 'left_hand'."""
    if name in _FACE:
        return "head"
    finger = re.fullmatch(r"(left|right)_(?:index|middle|pinky|ring|thumb)\d", name)
    return f"{finger[1]}_hand" if finger else name


def gathered(body: SmplArrays) -> SmplArrays:
    """The same body with SMPL's 24 named joints if it belongs to SMPL's family; else the body itself."""
    family = member(len(body.joint_names))
    if family is None or body.joint_names == SMPL_JOINTS:
        return body
    names = FAMILY[family]
    sources = [names.index(_KNUCKLE.get(joint, joint) if joint not in names else joint) for joint in SMPL_JOINTS]
    target = np.array([SMPL_JOINTS.index(joint_of(name)) for name in names])
    weights = np.zeros((len(body.weights), len(SMPL_JOINTS)), np.float32)
    np.add.at(weights.T, target, body.weights.T)
    # A joint keeps its pose blend shapes if both models have it. SMPL+H and SMPL-X have no hand joints.
    posedirs = np.zeros((len(body.weights), 3, len(SMPL_JOINTS) - 1, 9), np.float32)
    features = body.posedirs.reshape(len(body.weights), 3, -1, 9)
    for joint, source in enumerate(sources):
        if joint > 0 and names[source] == SMPL_JOINTS[joint]:
            posedirs[:, :, joint - 1] = features[:, :, source - 1]
    return dataclasses.replace(
        body,
        J_regressor=body.J_regressor[sources],
        weights=weights,
        posedirs=posedirs.reshape(len(weights), 3, -1),
        parents=(-1, *(int(target[body.parents[source]]) for source in sources[1:])),
        joint_names=SMPL_JOINTS,
    )
