"""Motions arrive on another skeleton: limbs point where they pointed, whatever the rest pose, axes and names."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hashhuman.animate.retarget import Retargeting
from hashhuman.errors import UserError
from tests.hashhuman.animate import people

Z_UP = Rotation.from_euler("x", 90, degrees=True)
LIMBS = ("hip", "knee", "shoulder", "elbow")
ENDS = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist"}


def limbs(skeleton, motion) -> np.ndarray:
    """Unit vectors along thighs, shins and arms: frames x bones x 3."""
    joints, names = motion.joints(skeleton), skeleton.names
    pairs = [(f"{side}_{a}", f"{side}_{ENDS[a]}") for side in ("left", "right") for a in LIMBS]
    bones = np.stack([joints[:, names.index(b)] - joints[:, names.index(a)] for a, b in pairs], 1)
    return bones / np.linalg.norm(bones, axis=-1, keepdims=True)


def facing_first(motion):
    """The motion as retargeting places it: the first frame faces +z."""
    front = Rotation.from_quat(motion.rotations[0, 0]).apply([0, 0, 1])
    turn = Rotation.from_euler("y", -np.arctan2(front[0], front[2]))
    rotations = motion.rotations.copy()
    rotations[:, 0] = (turn * Rotation.from_quat(rotations[:, 0])).as_quat()
    root = turn.apply(motion.root)
    return dataclasses.replace(motion, rotations=rotations, root=root - root[0] * [1, 0, 1])


@pytest.mark.parametrize("turn", [None, Z_UP, Rotation.from_euler("zyx", [90, 0, 90], degrees=True)])
@pytest.mark.parametrize("names", [None, people.MIXAMO])
def test_the_same_skeleton_moves_as_before(turn, names):
    """In other axes and under other names; hands rest if nobody knows them."""
    body = people.skeleton(30.0)
    motion = people.motion(body)
    found = Retargeting()("walk", people.clip(body, motion, names, turn), body)
    expected = facing_first(motion)
    apart = people.apart(found.rotations, expected.rotations)
    assert apart[:, :22].max() < 1e-4
    assert (
        (apart[:, 22:].max() < 1e-4)
        if names is None
        else (people.apart(found.rotations, np.tile([0, 0, 0, 1.0], (7, 24, 1)))[:, 22:].max() < 1e-4)
    )
    assert found.root == pytest.approx(expected.root, abs=1e-6)


def test_another_rest_pose_and_size():
    """Arms that rest level carry over to a body whose arms rest lowered; paths grow with the legs."""
    theirs, ours = people.skeleton(0.0), people.skeleton(55.0, size=1.2)
    motion = facing_first(people.motion(theirs))
    found = Retargeting()("walk", people.clip(theirs, motion), ours)
    assert limbs(ours, found) == pytest.approx(limbs(theirs, motion), abs=1e-6)
    trunk = [0, 3, 6, 9, 12, 15]
    assert people.apart(found.rotations[:, trunk], motion.rotations[:, trunk]).max() < 1e-4
    assert found.root == pytest.approx(1.2 * motion.root, abs=1e-6)


def test_a_rest_pose_that_differs_in_its_file_alone():
    """The same movement, described from arms lowered by 40 degrees, ends in the same place."""
    ours = people.skeleton(20.0)
    level, lowered = people.skeleton(0.0), people.skeleton(40.0)
    motion = people.motion(level)
    rebased = motion.rotations.copy()
    for side, sign in (("left", 1), ("right", -1)):
        raised = Rotation.from_euler("z", sign * 40, degrees=True)  # from lowered to level
        for limb in ("shoulder", "elbow", "wrist", "hand"):
            joint = level.names.index(f"{side}_{limb}")
            own = Rotation.from_quat(motion.rotations[:, joint])
            rebased[:, joint] = ((own if limb == "shoulder" else raised.inv() * own) * raised).as_quat()
    other = dataclasses.replace(motion, rotations=rebased)
    assert other.joints(lowered) == pytest.approx(motion.joints(level))
    results = [Retargeting()("walk", people.clip(s, m), ours) for s, m in ((level, motion), (lowered, other))]
    assert people.apart(results[0].rotations, results[1].rotations).max() < 1e-4


def test_feet_that_rest_flat_stay_flat():
    """A lower ankle changes the slope of the foot's bone, and not how the foot stands."""
    theirs = people.skeleton()
    joints = theirs.joints.copy()
    joints[[7, 8], 1] += 0.04
    theirs = dataclasses.replace(theirs, joints=joints)
    still = people.motion(theirs)
    still = dataclasses.replace(still, rotations=np.tile([0, 0, 0, 1.0], (7, 24, 1)))
    found = Retargeting()("stand", people.clip(theirs, still), people.skeleton())
    foot = Rotation.from_quat(found.rotations[:, 1]) * Rotation.from_quat(found.rotations[:, 4])
    foot = foot * Rotation.from_quat(found.rotations[:, 7])
    assert foot.apply([0, 1, 0]) == pytest.approx(np.tile([0, 1.0, 0], (7, 1)), abs=1e-6)


def test_fewer_joints():
    """A spine of one joint bends all of ours alike; without toes and head, these rest."""
    theirs = people.skeleton()
    kept = [i for i, name in enumerate(theirs.names) if name not in ("spine2", "spine3", "neck", "head", "left_foot")]
    motion = people.motion(theirs)
    bend = Rotation.from_euler("x", 30, degrees=True).as_quat()
    rotations = np.tile([0, 0, 0, 1.0], (*motion.rotations.shape[:2], 1))
    rotations[:, 3] = bend
    full = people.clip(theirs, dataclasses.replace(motion, rotations=rotations))
    parents = []
    for joint in kept:
        parent = theirs.parents[joint]
        while parent >= 0 and parent not in kept:
            parent = theirs.parents[parent]
        parents.append(kept.index(parent) if parent >= 0 else -1)
    clip = dataclasses.replace(
        full, names=tuple(theirs.names[i] for i in kept), parents=tuple(parents), joints=full.joints[kept],
        rotations=full.rotations[:, kept], positions=full.positions[:, kept],
    )  # fmt: skip
    found = Retargeting()("bow", clip, theirs)
    for joint in (3, 6, 9):
        assert Rotation.from_quat(found.rotations[0, joint]).as_euler("xyz", degrees=True) == pytest.approx(
            [10, 0, 0], abs=1e-6
        )
    assert people.apart(found.rotations, np.tile([0, 0, 0, 1.0], (7, 24, 1)))[:, [10, 12, 15]].max() < 1e-6


def test_a_rest_pose_that_nobody_stands_in():
    """Some files rest with all bones along one axis: the frame most like our rest pose takes its place."""
    ours = people.skeleton(20.0)
    motion = people.motion(ours, frames=9)
    still = motion.rotations.copy()
    still[4] = [0, 0, 0, 1]
    clip = people.clip(ours, dataclasses.replace(motion, rotations=still))
    length = np.linalg.norm(ours.offsets(), axis=1)
    joints = np.zeros((24, 3))
    for joint, parent in enumerate(ours.parents[1:], 1):
        sideways = [0, ours.offsets()[joint, 0], 0] if parent in (0, 9) else [0, 0, 0]
        joints[joint] = joints[parent] + [length[joint], 0, 0] + sideways
    random = np.random.default_rng(3)
    bases = Rotation.random(24, rng=random)  # what turned each bone of the stretched rest pose into the real one
    turns = np.stack([(Rotation.from_quat(turn) * bases).as_quat() for turn in clip.rotations])
    found = Retargeting()("walk", dataclasses.replace(clip, joints=joints, rotations=turns), ours)
    expected = Retargeting()("walk", clip, ours)
    assert people.apart(found.rotations, expected.rotations).max() < 1e-4
    chosen = Retargeting(rest=4)("walk", dataclasses.replace(clip, joints=joints, rotations=turns), ours)
    assert people.apart(chosen.rotations, expected.rotations).max() < 1e-4


def test_what_is_up_may_be_said():
    """A motion in which the person lies all the time: found, it would stand."""
    ours = people.skeleton()
    lying = people.motion(ours)
    down = Rotation.from_euler("x", -90, degrees=True)
    rotations = lying.rotations.copy()
    rotations[:, 0] = (down * Rotation.from_quat(rotations[:, 0])).as_quat()
    clip = people.clip(ours, dataclasses.replace(lying, rotations=rotations))
    stands, lies = (Retargeting(up=up)("lie", clip, ours) for up in (None, "y"))
    tall = [np.ptp(motion.joints(ours)[0, :, 1]) for motion in (stands, lies)]
    assert tall[0] > 1.3 and tall[1] < 0.9


def test_mistakes_are_one_sentence():
    ours = people.skeleton()
    clip = people.clip(ours, people.motion(ours))
    strange = dataclasses.replace(clip, names=tuple(f"bone{i}" for i in range(24)))
    with pytest.raises(UserError, match=r"not recognised by name \(bone0, bone1"):
        Retargeting()("walk", strange, ours)
    given = {"pelvis": "bone0", "left_shoulder": "bone16", "right_shoulder": "bone17"}
    found = Retargeting(names=given)("walk", strange, ours)
    assert people.apart(found.rotations[:, 0], facing_first(people.motion(ours)).rotations[:, 0]).max() < 1e-4
    with pytest.raises(UserError, match="has no joint knee; it has pelvis"):
        Retargeting(names={"left_knee": "knee"})("walk", clip, ours)
    with pytest.raises(UserError, match=r"left_kne is none of pelvis, neck, head, left_hip"):
        Retargeting(names={"left_kne": "left_knee"})
    with pytest.raises(UserError, match="legs have no length in its first frame"):
        Retargeting()("walk", dataclasses.replace(clip, positions=clip.positions * 0), ours)
    with pytest.raises(UserError, match=r"leads \S+ m away from its beginning"):
        Retargeting()(
            "walk", dataclasses.replace(clip, positions=clip.positions + np.arange(7)[:, None, None] * 1e5), ours
        )
    with pytest.raises(UserError, match="rest=7 must lie from 0 to 6"):
        Retargeting(rest=7)("walk", clip, ours)
    with pytest.raises(UserError, match="up=up: choose among x, y, z"):
        Retargeting(up="up")
    with pytest.raises(UserError, match=r"subject\.json must state joint_names"):
        Retargeting()("walk", clip, dataclasses.replace(ours, names=tuple(f"joint_{i}" for i in range(24))))
