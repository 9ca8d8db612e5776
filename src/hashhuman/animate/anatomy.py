"""Which joint of a skeleton is which: limbs by their names, and the spine as what lies between them.

Names are compared without prefixes (`mixamorig:`, `Bip01 `), sides, case and separators: LeftUpLeg, thigh.L, lfemur and
left_hip are the same joint. The pelvis is where the legs meet and the chest where the arms meet, so a spine may have
any number of joints with any names.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

# Stems of limbs, the surest first. A joint is taken once: Mixamo's LeftShoulder is the collar, since its LeftArm is the
# shoulder; SMPL's left_foot is the toes, since its left_ankle is the ankle.
LIMBS = {
    "hip": ("upleg", "upperleg", "thigh", "femur", "hip", "leg"),
    "knee": ("lowerleg", "knee", "shin", "calf", "tibia", "leg"),
    "ankle": ("ankle", "foot"),
    "toes": ("toebase", "toes", "toe", "toe0", "ball", "foot"),
    "shoulder": ("arm", "upperarm", "uparm", "humerus", "shldr", "shoulder"),
    "collar": ("clavicle", "collar", "collarbone", "shoulder"),
    "elbow": ("forearm", "lowerarm", "elbow", "radius"),
    "wrist": ("wrist", "hand"),
}
MIDDLE = {"pelvis": ("pelvis", "hips", "hip", "root"), "head": ("head",), "neck": ("neck", "neck1", "neck01")}
JOINTS = ("pelvis", "neck", "head", *(f"{side}_{joint}" for side in ("left", "right") for joint in LIMBS))  # ours
SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}
_PREFIX = re.compile(r"^(mixamorig\d*|bip\d*|def|org)[\s_.\-]*", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_STEMS = frozenset(stem for table in (LIMBS, MIDDLE) for stems in table.values() for stem in stems) | {"fingers"}


@dataclasses.dataclass(frozen=True)
class Anatomy:
    """Indices of a skeleton's joints."""

    joints: Mapping[str, int]  # pelvis, and left_ and right_ with the keys of LIMBS, as far as they are there
    spine: tuple[int, ...]  # from the pelvis to the chest, both included
    neck: tuple[int, ...]  # from the chest to the head, both included; empty if there is no head

    def get(self, name: str) -> int | None:
        """The index of a joint; None: there is none."""
        return self.joints.get(name)

    def pair(self, name: str) -> tuple[int, int] | None:
        """The indices of a joint on the left and on the right; None unless both are there."""
        left, right = self.get(f"left_{name}"), self.get(f"right_{name}")
        return None if left is None or right is None else (left, right)


def described(name: str) -> tuple[str | None, str]:
    """The side of a joint ("left", "right" or None) and the rest of its name, in lower case without separators."""
    own = _PREFIX.sub("", re.split(r"[:|]", name)[-1])
    words = [word.lower() for word in _WORD.findall(own)]
    whole = "".join(words)
    sides = [SIDES[word] for word in words if word in SIDES]
    if len(sides) == 1:
        return sides[0], "".join(word for word in words if word not in SIDES)
    if whole not in _STEMS and whole[:1] in SIDES and whole[1:] in _STEMS:  # lfemur
        return SIDES[whole[0]], whole[1:]
    return None, whole


def anatomy_of(names: Sequence[str], parents: Sequence[int], given: Mapping[str, str] | None = None) -> Anatomy | None:
    """The anatomy of a skeleton; None if its pelvis is not to be found.

    Args:
        names: of the joints.
        parents: of the joints; a parent precedes its children.
        given: names of joints that are called otherwise than LIMBS and MIDDLE expect: `left_knee: their name`.
    """
    found = {joint: names.index(name) for joint, name in (given or {}).items() if name in names}
    told = [described(name) for name in names]
    for side in ("left", "right"):
        for joint, stems in LIMBS.items():
            _find(found, f"{side}_{joint}", side, stems, told)
        _hand_that_holds_fingers(found, side, told, parents)
    for joint, stems in MIDDLE.items():
        _find(found, joint, None, stems, told)
    legs, arms = (_meeting(found, joint, parents) for joint in ("hip", "shoulder"))
    pelvis = found.get("pelvis") if legs is None or "pelvis" in (given or {}) else legs
    if pelvis is None:
        return None
    neck, head = found.pop("neck", None), found.get("head")
    if arms is None:  # the chest carries the neck
        over = neck if neck is not None else head
        arms = None if over is None else parents[over]
    pelvis = next((at for at in _ancestors(pelvis, parents) if arms is not None and _path(at, arms, parents)), pelvis)
    spine = _path(pelvis, arms, parents)
    return Anatomy(found | {"pelvis": pelvis}, spine or (pelvis,), _path(spine[-1], head, parents) if spine else ())


def _find(found: dict[str, int], joint: str, side: str | None, stems: Sequence[str], told: Sequence) -> None:
    """Adds the joint with the first of the stems that is there and not taken."""
    taken = set(found.values())
    for stem in stems if joint not in found else ():
        for index, description in enumerate(told):
            if description == (side, stem) and index not in taken:
                found[joint] = index
                return


def _hand_that_holds_fingers(found: dict[str, int], side: str, told: Sequence, parents: Sequence[int]) -> None:
    """Behind a wrist, CMU's skeletons have a hand that bends as wrists do, and carries the fingers: it is the wrist.

    SMPL's hand is a place in the palm, without joints below.
    """
    for index, description in enumerate(told):
        below = {told[child] for child, parent in enumerate(parents) if parent == index}
        if description == (side, "hand") and (side, "fingers") in below:
            found[f"{side}_wrist"] = index


def _ancestors(joint: int, parents: Sequence[int]) -> list[int]:
    """The joint and its ancestors, from the joint upwards."""
    line = [joint]
    while parents[line[-1]] >= 0:
        line.append(parents[line[-1]])
    return line


def _meeting(found: Mapping[str, int], joint: str, parents: Sequence[int]) -> int | None:
    """The lowest common ancestor of a left and a right joint."""
    if f"left_{joint}" not in found or f"right_{joint}" not in found:
        return None
    right = set(_ancestors(found[f"right_{joint}"], parents))
    return next((at for at in _ancestors(found[f"left_{joint}"], parents) if at in right), None)


def _path(start: int, end: int | None, parents: Sequence[int]) -> tuple[int, ...]:
    """The joints from an ancestor to a joint, both included; empty if it is not its ancestor."""
    line = [] if end is None or end < 0 else _ancestors(end, parents)
    return tuple(reversed(line[: line.index(start) + 1])) if start in line else ()
