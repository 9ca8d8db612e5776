"""Carries a clip over to another skeleton: by the names of joints and the directions of bones at rest.

D_j is the rotation of the clip's joint j from rest, A the one that lays the clip's rest pose into the axes of ours, and
W the one that does so with its world. A joint of ours that corresponds to j has the world rotation

    T = W D_j A^-1 C.

C turns our bone at rest into the direction that the clip's bone has at rest, by the smallest angle, so that the bone
itself gets no twist: arms that rest level and arms that rest lowered end up in the same place. C is the identity in
the trunk and the head, whose bones lie differently in every skeleton while the body stands equally upright, and keeps
feet flat. Joints that the clip lacks rest relative to their parent.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from hashhuman.animate.anatomy import JOINTS, Anatomy, anatomy_of
from hashhuman.animate.clip import Clip
from hashhuman.animate.rotations import smallest_rotation
from hashhuman.errors import UserError
from hashhuman.export.motion import Motion, Skeleton, continuous

BONES = {"hip": "knee", "knee": "ankle", "ankle": "toes", "shoulder": "elbow", "elbow": "wrist"}  # joint: bone's end
FOLLOWERS = {"toes": "ankle", "wrist": "elbow"}  # joints whose C is that of their parent's bone
LEGS = ("hip", "knee", "ankle")
SNAP = 20.0  # degrees; an upward direction this near to an axis is that axis
STANDING = 60.0  # degrees; at rest, a standing body's thighs and shins are at most so far from downwards
FARTHEST = 10_000.0  # metres; as for the bodies of a subject
LEVEL = 45.0  # degrees; a foot that is less inclined is flat


@dataclasses.dataclass(frozen=True)
class Retargeting:
    """How clips are carried over.

    Args:
        up: the upward axis of the clip's world: x, y, z, -x, -y or -z; None: as the format states, or else the axis
            that is nearest to the mean direction of the trunk.
        rest: number of the frame whose pose stands for the rest pose; None: the file's rest pose or, if that does not
            stand upright, the frame that is most like our rest pose.
        names: joints that are not recognised by name: `left_knee: their name`; see `hashhuman.animate.anatomy`.
    """

    up: str | None = None
    rest: int | None = None
    names: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if unknown := [ours for ours in self.names or {} if ours not in JOINTS]:
            raise UserError(f"animate.retargeting.names: {unknown[0]} is none of {', '.join(JOINTS)}.")
        if self.up is not None and self.up.removeprefix("-") not in ("x", "y", "z"):
            raise UserError(f"animate.retargeting.up={self.up}: choose among x, y, z, -x, -y, -z, or null.")

    def __call__(self, name: str, clip: Clip, skeleton: Skeleton) -> Motion:
        """The clip's motion on another skeleton, which begins above the origin and faces +z there.

        The path of the hips is scaled by the length of the legs. Heights are not yet those of the ground.

        Args:
            name: the motion's.
            clip: any.
            skeleton: of a person, with the joints' names.

        Raises:
            UserError: if too few joints are recognised, or an option does not fit the clip.
        """
        theirs, ours = self._anatomies(clip, skeleton)
        clip = self._upright(clip, theirs, skeleton, ours)
        laid = _frame(clip.joints, theirs) @ _frame(skeleton.joints, ours).T  # A^-1: from our axes to theirs
        world = self._world(clip, theirs, laid)
        turned = _Turned(clip, world, laid)
        corrections = _corrections(clip.joints @ laid, theirs, skeleton.joints, ours)
        turns = _turns(turned, theirs, corrections, skeleton, ours)
        root = _path(clip, theirs, world, turns, skeleton, ours)
        if not (farthest := np.abs(root).max()) <= FARTHEST:
            raise UserError(
                f"The motion leads {farthest:.3g} m away from its beginning: its path cannot be right, or its legs in "
                "the first frame, which set the scale."
            )
        identity = np.eye(4)
        return Motion(name, clip.times, continuous(_relative(turns, skeleton)), root, identity)

    def _anatomies(self, clip: Clip, skeleton: Skeleton) -> tuple[Anatomy, Anatomy]:
        if unknown := [theirs for theirs in (self.names or {}).values() if theirs not in clip.names]:
            raise UserError(
                f"animate.retargeting.names: the motion has no joint {unknown[0]}; it has {', '.join(clip.names)}."
            )
        theirs = anatomy_of(clip.names, clip.parents, self.names)
        ours = anatomy_of(skeleton.names, skeleton.parents)
        if ours is None or not _is_enough(ours):
            raise UserError(
                f"The avatar's body has no joints that are known by name ({', '.join(skeleton.names[:6])} ...), so no "
                "motion can be carried over: subject.json must state joint_names."
            )
        if theirs is None or not _is_enough(theirs):
            raise UserError(
                f"The motion's joints are not recognised by name ({', '.join(clip.names[:6])} ...): say which is which "
                "with animate.retargeting.names={left_hip: ..., right_hip: ..., left_knee: ...}."
            )
        return theirs, ours

    def _upright(self, clip: Clip, theirs: Anatomy, skeleton: Skeleton, ours: Anatomy) -> Clip:
        """The clip with a rest pose that stands."""
        count = len(clip.times)
        if self.rest is not None:
            if not 0 <= self.rest < count:
                raise UserError(f"animate.retargeting.rest={self.rest} must lie from 0 to {count - 1}, or be null.")
            return clip.rested(self.rest)
        if _stands(clip.joints, theirs):
            return clip
        own = _directions(skeleton.joints @ _frame(skeleton.joints, ours), ours)
        likeness = [_likeness(own, places, theirs) for places in clip.positions]
        return clip.rested(int(np.argmax(likeness)))

    def _world(self, clip: Clip, theirs: Anatomy, laid: np.ndarray) -> Float[np.ndarray, "3 3"]:
        """W: up becomes +y, and the front of the first frame +z."""
        pelvis = Rotation.from_quat(clip.rotations[:, theirs.joints["pelvis"]])
        if self.up is not None:
            up = np.eye(3)["xyz".index(self.up[-1])] * (-1 if self.up[0] == "-" else 1)
        elif clip.up is not None:
            up = np.eye(3)[clip.up]
        else:
            up = _snapped((pelvis.as_matrix() @ laid)[:, :, 1].mean(0), 180.0)
        front = pelvis[0].as_matrix() @ laid[:, 2]
        front = front - (front @ up) * up
        if np.linalg.norm(front) < 1e-6:  # the person lies on the front or back: any direction will do
            front = np.cross(up, np.eye(3)[np.abs(up).argmin()])
        front /= np.linalg.norm(front)
        return np.stack([np.cross(up, front), up, front])


@dataclasses.dataclass(frozen=True)
class _Turned:
    """The clip's turns in our axes: W D A^-1."""

    clip: Clip
    world: np.ndarray
    laid: np.ndarray

    def joint(self, index: int) -> Rotation:
        own = Rotation.from_quat(self.clip.rotations[:, index])
        return Rotation.from_matrix(self.world) * own * Rotation.from_matrix(self.laid)

    def along(self, line: tuple[int, ...], share: float) -> Rotation:
        """The turn at a share of a line of joints, between those of its first and its last."""
        at = share * (len(line) - 1)
        index = min(int(at + 1e-9), len(line) - 2) if len(line) > 1 else 0
        if len(line) == 1 or at - index < 1e-9:
            return self.joint(line[index])
        if index + 1 - at < 1e-9:
            return self.joint(line[index + 1])
        low, high = self.joint(line[index]), self.joint(line[index + 1])
        return low * Rotation.from_rotvec((at - index) * (low.inv() * high).as_rotvec())


def _turns(
    turned: _Turned, theirs: Anatomy, corrections: Mapping[str, Rotation], skeleton: Skeleton, ours: Anatomy
) -> list[Rotation]:
    """World rotations of our joints."""
    by_joint: dict[int, Rotation] = {ours.joints["pelvis"]: turned.joint(theirs.joints["pelvis"])}
    for line, other in ((ours.spine, theirs.spine), (ours.neck, theirs.neck)):
        if len(line) > 1 and len(other) > 1:
            for place, joint in enumerate(line[1:], 1):
                by_joint[joint] = turned.along(other, place / (len(line) - 1))
    for name, joint in ours.joints.items():
        if joint not in by_joint and (source := theirs.get(name)) is not None:
            by_joint[joint] = turned.joint(source) * corrections.get(name, Rotation.identity())
    found: list[Rotation] = []
    carried: list[Rotation] = []
    used = {*theirs.joints.values(), *theirs.spine, *theirs.neck}
    own_names = {joint: name for name, joint in ours.joints.items()}
    same = {name: index for index, name in enumerate(turned.clip.names) if index not in used}
    for joint, parent in enumerate(skeleton.parents):
        above = carried[parent] if parent >= 0 else Rotation.identity()
        carried.append(corrections.get(own_names.get(joint, ""), above))
        if joint in by_joint:
            found.append(by_joint[joint])
        elif (index := same.get(skeleton.names[joint])) is not None:  # others that both have, as of hands
            found.append(turned.joint(index) * carried[joint])
        else:
            found.append(found[parent] if parent >= 0 else by_joint[ours.joints["pelvis"]])
    return found


def _relative(turns: list[Rotation], skeleton: Skeleton) -> Float[np.ndarray, "F J 4"]:
    """World rotations as rotations relative to the parent."""
    local = [turn if parent < 0 else turns[parent].inv() * turn for turn, parent in zip(turns, skeleton.parents)]
    return np.stack([rotation.as_quat() for rotation in local], 1)


def _path(
    clip: Clip, theirs: Anatomy, world: np.ndarray, turns: list[Rotation], skeleton: Skeleton, ours: Anatomy
) -> Float[np.ndarray, "F 3"]:
    """Positions of our root: the middle of the hips follows that of the clip's hips, scaled."""
    own = skeleton.joints[list(ours.pair("hip") or (ours.joints["pelvis"],))].mean(0)
    their_hips = list((theirs.pair("hip") if ours.pair("hip") else None) or (theirs.joints["pelvis"],))
    length = _length(clip.positions[0], theirs, ours)
    if not 0 < length < np.inf:
        raise UserError("The motion's legs have no length in its first frame: leave it out with animate.start=SECONDS.")
    hips = _length(skeleton.joints, ours, theirs) / length
    hips = hips * clip.positions[:, their_hips].mean(1) @ world.T
    pelvis = ours.joints["pelvis"]
    root = hips - turns[pelvis].apply(own - skeleton.joints[pelvis])
    for joint in reversed(range(pelvis + 1)):  # joints above the pelvis, if there are any
        parent = skeleton.parents[joint]
        if parent >= 0 and joint == pelvis:
            root, pelvis = root - turns[parent].apply(skeleton.joints[joint] - skeleton.joints[parent]), parent
    return root - root[0] * [1, 0, 1]


def _length(joints: Float[np.ndarray, "J 3"], anatomy: Anatomy, other: Anatomy) -> float:
    """What scales the path: the length of the legs or, unless both skeletons have legs, that of the trunk."""

    def legs_of(which: Anatomy) -> list[list[int]]:
        sides = [[which.get(f"{side}_{joint}") for joint in LEGS] for side in ("left", "right")]
        return [[joint for joint in leg if joint is not None] for leg in sides if None not in leg]

    legs = legs_of(anatomy)
    if legs and legs_of(other):
        return float(np.mean([np.linalg.norm(np.diff(joints[leg], axis=0), axis=1).sum() for leg in legs]))
    return float(np.linalg.norm(_top(joints, anatomy) - joints[anatomy.joints["pelvis"]]))


def _is_enough(anatomy: Anatomy) -> bool:
    """Whether an anatomy shows what is up and what is left."""
    return len(anatomy.spine) > 1 or anatomy.pair("shoulder") is not None


def _top(joints: Float[np.ndarray, "J 3"], anatomy: Anatomy) -> Float[np.ndarray, "3"]:
    """The middle of the shoulders, or the upper end of the spine."""
    return joints[list(anatomy.pair("shoulder") or anatomy.spine[-1:])].mean(0)


def _frame(joints: Float[np.ndarray, "J 3"], anatomy: Anatomy) -> Float[np.ndarray, "3 3"]:
    """The body's axes, as columns: its left, up and front."""
    hips, arms = anatomy.pair("hip"), anatomy.pair("shoulder")
    pair = hips or arms
    bottom = joints[list(hips)].mean(0) if hips else joints[anatomy.joints["pelvis"]]
    up = _top(joints, anatomy) - bottom
    up = _snapped(up, SNAP)
    left = joints[pair[0]] - joints[pair[1]] if pair else np.eye(3)[0]
    left = left - (left @ up) * up
    if min(np.linalg.norm(up), np.linalg.norm(left)) < 1e-9:
        raise UserError(
            "The motion's hips or shoulders lie in one place at rest: choose a frame, animate.retargeting.rest=NUMBER."
        )
    left /= np.linalg.norm(left)
    return np.stack([left, up, np.cross(left, up)], 1)


def _snapped(direction: Float[np.ndarray, "3"], degrees: float) -> Float[np.ndarray, "3"]:
    """The unit vector along a direction, or the axis nearest to it if that is within an angle."""
    direction = direction / max(np.linalg.norm(direction), 1e-12)
    axis = int(np.abs(direction).argmax())
    if abs(direction[axis]) < np.cos(np.radians(degrees)):
        return direction
    return np.eye(3)[axis] * np.sign(direction[axis])


def _directions(joints: Float[np.ndarray, "J 3"], anatomy: Anatomy) -> dict[str, Float[np.ndarray, "3"]]:
    """Unit vectors along the bones of the limbs, by the joint at which each begins."""
    found = {}
    for side in ("left", "right"):
        for begin, end in BONES.items():
            a, b = anatomy.get(f"{side}_{begin}"), anatomy.get(f"{side}_{end}")
            if a is not None and b is not None and (length := np.linalg.norm(joints[b] - joints[a])) > 1e-9:
                found[f"{side}_{begin}"] = (joints[b] - joints[a]) / length
    return found


def _stands(joints: Float[np.ndarray, "J 3"], anatomy: Anatomy) -> bool:
    """Whether a pose is that of somebody who stands upright."""
    try:
        up = _frame(joints, anatomy)[:, 1]
    except UserError:
        return False
    legs = [way for bone, way in _directions(joints, anatomy).items() if bone.endswith(("hip", "knee"))]
    return all(way @ -up > np.cos(np.radians(STANDING)) for way in legs)


def _likeness(own: Mapping[str, np.ndarray], joints: Float[np.ndarray, "J 3"], anatomy: Anatomy) -> float:
    """How much the limbs of a pose point where `own` ones do, which are in the axes of their body."""
    other = _directions(joints @ _frame(joints, anatomy), anatomy)
    return sum(float(own[bone] @ other[bone]) for bone in own.keys() & other.keys())


def _corrections(
    theirs: Float[np.ndarray, "J 3"], their_anatomy: Anatomy, ours: Float[np.ndarray, "K 3"], our_anatomy: Anatomy
) -> dict[str, Rotation]:
    """C of each limb's joint; both rest poses in our axes."""
    own, other = _directions(ours, our_anatomy), _directions(theirs, their_anatomy)
    found = {}
    for name in own.keys() & other.keys():
        a, b = own[name], other[name]
        if name.endswith("ankle") and max(abs(a[1]), abs(b[1])) < np.sin(np.radians(LEVEL)):
            a, b = a * [1, 0, 1], b * [1, 0, 1]  # flat feet stay flat
        found[name] = smallest_rotation(a, b)
    for name in our_anatomy.joints:
        side, _, joint = name.partition("_")
        if joint in FOLLOWERS and (parent := f"{side}_{FOLLOWERS[joint]}") in found:
            found[name] = found[parent]
    return found
