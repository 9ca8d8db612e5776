"""BVH files by hand: angles, orders of channels, offsets; and what the reader refuses."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hashhuman.animate.readers.bvh import read_bvh
from hashhuman.animate.retarget import Retargeting
from hashhuman.errors import UserError
from hashhuman.export.bvh import bvh
from tests.hashhuman.animate import people

TEXT = """HIERARCHY
ROOT Hips
{
  OFFSET 1 2 3
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Left Knee
  {
    OFFSET 0 -4 0
    CHANNELS 3 Yrotation Zrotation Xrotation
    End Site
    {
      OFFSET 0 -2 0
    }
  }
  JOINT Moved
  {
    OFFSET 5 0 0
    CHANNELS 6 Zposition Yposition Xposition Xrotation Yrotation Zrotation
    End Site
    {
      OFFSET 1 0 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.04
0 0 0 0 0 0 0 0 0 0 0 5 0 0 0
10 0 0 90 0 0 0 0 90 7 0 5 0 0 0
"""


def written(tmp_path, text: str):
    path = tmp_path / "walk.bvh"
    path.write_text(text)
    return path


def test_angles_and_offsets(tmp_path):
    clip = read_bvh(written(tmp_path, TEXT))
    assert clip.names == ("Hips", "Left Knee", "Left Knee end", "Moved", "Moved end")
    assert clip.parents == (-1, 0, 1, 0, 3) and clip.times == pytest.approx([0, 0.04]) and clip.up is None
    assert clip.joints == pytest.approx(np.array([[1, 2, 3], [1, -2, 3], [1, -4, 3], [6, 2, 3], [7, 2, 3]]))
    assert clip.positions[0] == pytest.approx(clip.joints - [1, 2, 3])  # channels replace the offsets of Hips and Moved
    # About z by 90 degrees, -y becomes x and x becomes y; then the shin bends about x, which is y in the world.
    assert clip.positions[1] == pytest.approx(np.array([[10, 0, 0], [14, 0, 0], [14, 0, -2], [10, 5, 7], [10, 6, 7]]))


@pytest.mark.parametrize("order", ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"])
def test_orders_of_channels(tmp_path, order):
    channels = " ".join(f"{axis}rotation" for axis in order)
    text = TEXT.replace("Yrotation Zrotation Xrotation", channels).replace(
        "10 0 0 90 0 0 0 0 90", "0 0 0 0 0 0 10 20 30"
    )
    turn = read_bvh(written(tmp_path, text)).rotations[1, 1]
    expected = np.eye(3)
    for axis, degrees in zip(order, (10, 20, 30)):
        expected = expected @ Rotation.from_euler(axis.lower(), degrees, degrees=True).as_matrix()
    assert Rotation.from_quat(turn).as_matrix() == pytest.approx(expected)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_our_own_out_and_in_again(tmp_path, scale):
    body = people.skeleton(35.0)
    motion = people.motion(body, frames=20, seed=2)
    clip = read_bvh(written(tmp_path, bvh(body, motion, scale)))
    own = [clip.names.index(name) for name in body.names]
    assert clip.positions[:, own] / scale == pytest.approx(motion.joints(body), abs=2e-5)
    again = Retargeting()("again", clip, body)
    local = people.apart(again.rotations[:, 1:], motion.rotations[:, 1:])
    assert local.max() < 0.001 and again.times == pytest.approx(motion.times, abs=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("HIERARCHY", "HIERARCHIE", "begin with the line HIERARCHY"),
        ("MOTION", "", "no line MOTION"),
        ("  }\n}\nMOTION", "  }\nMOTION", "ends too early"),
        ("  }\n}\nMOTION", "  }\n}\nROOT Other\n{\n}\nMOTION", "one ROOT"),
        ("  }\n}\nMOTION", "  }\n}\n}\nMOTION", "more braces close"),
        ("OFFSET 0 -4 0", "OFFSET 0 -4", "OFFSET of Left Knee must be 3 finite"),
        ("OFFSET 0 -4 0", "OFFSET 0 nan 0", "OFFSET of Left Knee must be 3 finite"),
        ("OFFSET 0 -4 0", "SIZE 4", "not understood: SIZE 4"),
        ("CHANNELS 3 Y", "CHANNELS 4 Y", "CHANNELS of Left Knee"),
        ("3 Yrotation Z", "3 Zrotation Z", "CHANNELS of Left Knee"),
        ("3 Yrotation Z", "3 Wrotation Z", "CHANNELS of Left Knee"),
        ("Frames: 2", "Frames: 3", "promises 3 frames, and has 2"),
        ("Frames: 2", "Frames: 1", "promises 1 frames, and has 2"),
        ("Frames: 2", "Frame: 2", "lines Frames: and Frame Time:"),
        ("Time: 0.04", "Time: 0", "must be above 0"),
        ("Time: 0.04", "Time: inf", "must be above 0"),
        ("10 0 0 90", "10 0 90", "row 2 of its motion must be 15 finite numbers"),
        ("10 0 0 90", "10 0 x 90", "could not convert"),
        ("10 0 0 90", "10 0 nan 90", "row 2 of its motion must be 15 finite numbers"),
    ],
)
def test_damage_is_one_sentence(tmp_path, old, new, said):
    assert old in TEXT
    with pytest.raises(UserError, match=said) as raised:
        read_bvh(written(tmp_path, TEXT.replace(old, new, 1)))
    assert "walk.bvh is not a readable BVH file" in str(raised.value)


def test_a_motion_without_frames_and_a_file_that_is_none(tmp_path):
    head = TEXT[: TEXT.index("Frames")]
    with pytest.raises(UserError, match="0 frames and 5 joints"):
        read_bvh(written(tmp_path, head + "Frames: 0\nFrame Time: 0.04\n"))
    with pytest.raises(UserError, match="does not exist"):
        read_bvh(tmp_path / "none.bvh")
    path = tmp_path / "noise.bvh"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(UserError, match="not a readable BVH file"):
        read_bvh(path)
