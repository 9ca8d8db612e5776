"""Archives of SMPL's family: AMASS's keys, SMPL's keys, our own; and what is refused."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hashhuman.animate.readers.npz import read_npz
from hashhuman.animate.retarget import Retargeting
from hashhuman.errors import UserError
from hashhuman.export.smpl_npz import smpl_arrays
from tests.hashhuman.animate import people
from tests.hashhuman.animate.test_retarget import limbs


def saved(tmp_path, **entries):
    path = tmp_path / "walk.npz"
    np.savez(path, **entries)
    return path


def amass(frames: int = 3, joints: int = 52) -> dict:
    return {"poses": np.zeros((frames, 3 * joints)), "trans": np.zeros((frames, 3)), "mocap_framerate": 120.0}


@pytest.mark.parametrize(
    ("joints", "key"), [(24, "mocap_framerate"), (52, "mocap_framerate"), (55, "mocap_frame_rate")]
)
def test_amass(tmp_path, joints, key):
    """A person in a world whose z axis is up, who lifts the left arm forward."""
    entries = amass(joints=joints)
    entries[key] = entries.pop("mocap_framerate")
    entries["poses"][:, :3] = [np.pi / 2, 0, 0]
    entries["poses"][:, 48:51] = [0, -np.pi / 2, 0]
    entries["trans"][:, 1] = [0, -1, -2]
    entries["gender"] = np.array("neutral", object)  # a pickle, which is not read
    clip = read_npz(saved(tmp_path, **entries))
    assert clip.names[16] == "left_shoulder" and len(clip.names) == 22
    assert clip.times == pytest.approx([0, 1 / 120, 2 / 120])
    assert clip.positions[0, 15, 2] - clip.positions[0, 7, 2] > 1.3  # the head is above the ankle, along z
    body = people.skeleton(45.0)
    motion = Retargeting()("lift", clip, body)
    arm = limbs(body, motion)[:, [2, 3]]
    assert arm == pytest.approx(np.tile([0, 0, 1.0], (3, 2, 1)), abs=0.06)
    assert motion.root[:, 2] == pytest.approx([0, 1, 2], abs=0.1) and np.ptp(motion.root[:, :2]) < 1.2


def test_smpl_keys(tmp_path):
    orient, body_pose = np.full((4, 1, 3), 0.1), np.zeros((4, 23, 3))
    body_pose[:, 3] = [0.5, 0, 0]
    clip = read_npz(saved(tmp_path, global_orient=orient, body_pose=body_pose, transl=np.ones((4, 3))), fps=25.0)
    assert clip.times == pytest.approx(np.arange(4) / 25)
    root, knee = (Rotation.from_quat(clip.rotations[0, i]) for i in (0, 4))
    assert (root.inv() * knee).as_rotvec() == pytest.approx([0.5, 0, 0])
    assert clip.positions[0, 0] == pytest.approx(clip.joints[0] + 1)


def test_our_own_out_and_in_again(tmp_path):
    body = people.skeleton(35.0)
    motion = people.motion(body, frames=12, seed=4)
    clip = read_npz(saved(tmp_path, **smpl_arrays(body, motion)))
    assert clip.names == body.names and clip.positions == pytest.approx(motion.joints(body))
    again = Retargeting()("again", clip, body)
    assert people.apart(again.rotations[:, 1:], motion.rotations[:, 1:]).max() < 1e-4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"poses": None}, "no motion of SMPL's family"),
        ({"mocap_framerate": None}, r"no frame rate: add motion_fps="),
        ({"mocap_framerate": 0.0}, "mocap_framerate must be a number above 0"),
        ({"mocap_framerate": np.array([30.0, 30])}, "mocap_framerate must be a number above 0"),
        ({"poses": np.full((3, 156), np.nan)}, "poses must hold finite numbers"),
        ({"poses": np.zeros((3, 155))}, "three numbers a joint"),
        ({"poses": np.zeros((3, 63))}, "at least 22"),
        ({"poses": np.zeros((0, 156)), "trans": np.zeros((0, 3))}, "three numbers a joint"),
        ({"trans": np.zeros((2, 3))}, "a translation of three"),
        ({"trans": np.array(["a"] * 3)}, "trans must hold finite numbers"),
        ({"times": np.array([0.0, 2, 1])}, "ascending"),
        (
            {"joints": np.zeros((3, 3)), "joint_names": np.array(["a"]), "parents": np.array([-1])},
            "describe the 52 joints",
        ),
    ],
)
def test_damage_is_one_sentence(tmp_path, change, said):
    entries = {key: value for key, value in (amass() | change).items() if value is not None}
    with pytest.raises(UserError, match=said):
        read_npz(saved(tmp_path, **entries))


def test_pickles_are_not_opened(tmp_path):
    with pytest.raises(UserError, match="not a readable npz file"):
        read_npz(saved(tmp_path, **(amass() | {"poses": np.array([{}], object)})))
