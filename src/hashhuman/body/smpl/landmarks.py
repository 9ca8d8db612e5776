"""The points that keypoint detectors find, on a body with SMPL's skeleton.

The user's `J_regressor_body25.npy` defines them where it is present. Without it, and for the knuckles, which it lacks,
they are joints, or vertices chosen by the rest body's geometry: the nose is the foremost vertex of the head, a heel the
rearmost vertex of a foot. This assumes that the body stands upright and faces +z, with palms down or inwards and thumbs
forwards.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from hashhuman.body.smpl.arrays import SmplArrays

# Rows of the regressor, in OpenPose's order, without the neck and the middle of the hips, which no fit uses.
BODY_25 = {
    "nose": 0, "right_shoulder": 2, "right_elbow": 3, "right_wrist": 4, "left_shoulder": 5, "left_elbow": 6,
    "left_wrist": 7, "right_hip": 9, "right_knee": 10, "right_ankle": 11, "left_hip": 12, "left_knee": 13,
    "left_ankle": 14, "right_eye": 15, "left_eye": 16, "right_ear": 17, "left_ear": 18, "left_big_toe": 19,
    "left_small_toe": 20, "left_heel": 21, "right_big_toe": 22, "right_small_toe": 23, "right_heel": 24,
}  # fmt: skip
SIDES = {"left": 1.0, "right": -1.0}  # along x
JOINTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
EYE = 0.2  # an eye's height above the nose, and its distance to the side, over the crown's height above the nose


@dataclasses.dataclass(frozen=True)
class Landmark:
    """A point as a weighted sum of joints (by name) and vertices (by index). The weights add up to one."""

    joints: Mapping[str, float] = dataclasses.field(default_factory=dict)
    vertices: Mapping[int, float] = dataclasses.field(default_factory=dict)


def landmarks(body: SmplArrays) -> dict[str, Landmark]:
    """All landmarks of a body, by name; none if its joints are not SMPL's."""
    if not {"head", "left_hand", "left_ankle"} <= set(body.joint_names):
        return {}
    found = {"nose": Landmark(vertices={_nose(body): 1.0})}
    for side, sign in SIDES.items():
        found |= {f"{side}_{joint}": Landmark(joints={f"{side}_{joint}": 1.0}) for joint in JOINTS}
        parts = _face(body, sign) | _foot(body, side) | _hand(body, side)
        found |= {f"{side}_{name}": landmark for name, landmark in parts.items()}
    if body.body25 is not None:
        found |= {name: _regressed(body.body25[row]) for name, row in BODY_25.items()}
    return found


def _regressed(row: np.ndarray) -> Landmark:
    used = np.flatnonzero(row)
    return Landmark(vertices=dict(zip(used.tolist(), (row[used] / row.sum()).tolist())))


def _members(body: SmplArrays, *joints: str) -> np.ndarray:
    """Vertices whose largest skinning weight is that of one of the joints."""
    return np.flatnonzero(np.isin(body.weights.argmax(1), [body.joint_names.index(joint) for joint in joints]))


def _joint(body: SmplArrays, name: str) -> np.ndarray:
    return body.J_regressor[body.joint_names.index(name)] @ body.v_template


def _foremost(body: SmplArrays, members: np.ndarray, direction: np.ndarray) -> int:
    return int(members[(body.v_template[members] @ direction).argmax()])


def _nose(body: SmplArrays) -> int:
    return _foremost(body, _members(body, "head"), np.array([0, 0, 1]))


def _face(body: SmplArrays, sign: float) -> dict[str, Landmark]:
    head, place = _members(body, "head"), body.v_template
    nose = place[_nose(body)]
    high = place[head, 1].max() - nose[1]
    front = head[place[head, 2] > _joint(body, "head")[2]]
    eye = front[np.linalg.norm(place[front, :2] - (nose[:2] + EYE * high * np.array([sign, 1])), axis=1).argmin()]
    level = head[(place[head, 1] > nose[1]) & (place[head, 1] < nose[1] + 2 * EYE * high)]
    ear = _foremost(body, level, np.array([sign, 0, 0]))
    return {"eye": Landmark(vertices={int(eye): 1.0}), "ear": Landmark(vertices={ear: 1.0})}


def _foot(body: SmplArrays, side: str) -> dict[str, Landmark]:
    foot = _members(body, f"{side}_ankle", f"{side}_foot")
    foot = foot[body.v_template[foot, 1] < _joint(body, f"{side}_ankle")[1]]
    toe, heel = (_foremost(body, foot, np.array([0, 0, sign])) for sign in (1, -1))
    return {"big_toe": Landmark(vertices={toe: 1.0}), "heel": Landmark(vertices={heel: 1.0})}


def _hand(body: SmplArrays, side: str) -> dict[str, Landmark]:
    """Three knuckles, from the wrist, the hand's joint (the middle knuckle), its outer edge and the thumb's tip."""
    wrist, knuckle = _joint(body, f"{side}_wrist"), _joint(body, f"{side}_hand")
    along = (knuckle - wrist) / np.linalg.norm(knuckle - wrist)
    hand = _members(body, f"{side}_wrist", f"{side}_hand")
    thumb = _foremost(body, hand, np.array([0, 0, 1]) - along[2] * along)
    across = body.v_template[thumb] - wrist
    across = across - (across @ along) * along
    reach = (body.v_template[hand] - wrist) @ along / np.linalg.norm(knuckle - wrist)
    edge = _foremost(body, hand[(reach > 0.8) & (reach < 1.2)], -across)
    return {
        "pinky_knuckle": Landmark({f"{side}_hand": 0.2}, {edge: 0.8}),
        "index_knuckle": Landmark({f"{side}_hand": 1.5}, {edge: -0.5}),
        "thumb_knuckle": Landmark({f"{side}_wrist": 0.5}, {thumb: 0.5}),
    }
