"""Joints are recognised under the names that programs give them."""

import pytest

from hashhuman.animate.anatomy import anatomy_of, described
from hashhuman.body.template import SMPL_JOINTS
from tests.hashhuman.animate import people

CHAIN = (  # parent, child; names of one side
    "pelvis spine1", "spine1 spine2", "spine2 chest", "chest neck", "neck head", "chest collar", "collar shoulder",
    "shoulder elbow", "elbow wrist", "pelvis hip", "hip knee", "knee ankle", "ankle toes",
)  # fmt: skip
STYLES = {
    "mixamo": ("mixamorig:Hips Spine Spine1 Spine2 Neck Head Shoulder Arm ForeArm Hand UpLeg Leg Foot ToeBase",
               "mixamorig:{side}{name}", ("Left", "Right")),
    "biped": ("Bip01_Pelvis Spine Spine1 Spine2 Neck Head Clavicle UpperArm Forearm Hand Thigh Calf Foot Toe0",
              "Bip01 {side} {name}", ("L", "R")),
    "unreal": ("pelvis spine_01 spine_02 spine_03 neck_01 head clavicle upperarm lowerarm hand thigh calf foot ball",
               "{name}_{side}", ("l", "r")),
    "blender": ("hips a b c neck head shoulder upper_arm forearm hand thigh shin foot toe",
                "{name}.{side}", ("L", "R")),
    "vrm": ("hips spine chest upperChest neck head Shoulder UpperArm LowerArm Hand UpperLeg LowerLeg Foot Toes",
            "{side}{name}", ("left", "right")),
    "xsens": ("Hips Chest Chest2 Chest3 Neck Head Collar Shoulder Elbow Wrist Hip Knee Ankle Toe",
              "{side}{name}", ("Left", "Right")),
    "acclaim": ("root lowerback upperback thorax lowerneck head clavicle humerus radius hand femur tibia foot toes",
                "{side}{name}", ("l", "r")),
    "mmd": ("hips spine a chest neck head shoulder arm elbow wrist leg knee ankle toe",
            "{side} {name}", ("Left", "Right")),
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_styles(style):
    words, pattern, sides = STYLES[style]
    middle, limbs = words.split()[:6], words.split()[6:]
    parts = dict(zip(("pelvis", "spine1", "spine2", "chest", "neck", "head"), middle))
    names, parents = list(middle[:1]), [-1]
    for parent, child in (pair.split() for pair in CHAIN):
        for own in sides:
            if child in parts:
                if parts[child] not in names:
                    parents.append(names.index(parts[parent]))
                    names.append(parts[child])
                continue
            keys = dict(zip(("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toes"), limbs))
            above = parts.get(parent) or pattern.format(side=own, name=keys[parent])
            parents.append(names.index(above))
            names.append(pattern.format(side=own, name=keys[child]))
    found = anatomy_of(names, parents)
    assert found is not None and len(found.joints) == 18
    for joint, name in zip(("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toes"), limbs):
        for side, own in zip(("left", "right"), sides):
            assert names[found.joints[f"{side}_{joint}"]] == pattern.format(side=own, name=name)
    assert [names[i] for i in found.spine] == middle[:4] and [names[i] for i in found.neck] == middle[3:]


def test_our_own_names():
    found = anatomy_of(SMPL_JOINTS, people.PARENTS)
    assert (
        SMPL_JOINTS[found.joints["left_toes"]] == "left_foot"
        and SMPL_JOINTS[found.joints["left_wrist"]] == "left_wrist"
    )
    assert [SMPL_JOINTS[i] for i in found.spine] == ["pelvis", "spine1", "spine2", "spine3"]


def test_words():
    assert described("mixamorig:LeftUpLeg") == ("left", "upleg") == described("UpLeg_L")
    assert described("lowerback") == (None, "lowerback") and described("lfemur") == ("left", "femur")
    assert described("LHipJoint") == ("left", "hipjoint")


def test_given_names_come_first_and_strangers_are_none():
    names, parents = ["a", "b", "c", "d"], [-1, 0, 0, 0]
    assert anatomy_of(names, parents) is None
    found = anatomy_of(names, parents, {"pelvis": "a", "left_hip": "b", "right_hip": "c", "head": "d"})
    assert found.joints == {"pelvis": 0, "left_hip": 1, "right_hip": 2, "head": 3}


def test_the_hand_that_carries_fingers_is_the_wrist():
    """CMU's forearm ends in a wrist that only twists; SMPL's hand is a place in the palm."""
    names, parents = ["root", "lradius", "lwrist", "lhand", "lfingers", "lthumb"], [-1, 0, 1, 2, 3, 2]
    assert anatomy_of(names, parents).joints["left_wrist"] == 3
    assert anatomy_of(names[:4], parents[:4]).joints["left_wrist"] == 2
