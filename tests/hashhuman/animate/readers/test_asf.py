"""Acclaim's files by hand: bones with axes of their own."""

import numpy as np
import pytest

from hashhuman.animate.readers.asf import read_amc
from hashhuman.errors import UserError

ASF = """# made by hand
:version 1.10
:units
  mass 1.0
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name lfemur
     direction 0 -1 0
     length 4
     axis 0 0 90 XYZ
    dof rx rz
    limits (-160.0 20.0)
           (-70.0 70.0)
  end
  begin
     id 2
     name ltibia
     direction 0 -1 0
     length 3
     axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root lfemur
    lfemur ltibia
  end
"""
AMC = """#!OML:ASF
:FULLY-SPECIFIED
:DEGREES
1
root 1 2 3 0 0 0
lfemur 0 0
2
root 1 2 3 90 90 0
lfemur 30 0
"""


def written(tmp_path, asf: str = ASF, amc: str = AMC):
    (tmp_path / "02.asf").write_text(asf)
    (tmp_path / "02_01.amc").write_text(amc)
    return tmp_path / "02_01.amc"


def test_axes_of_bones(tmp_path):
    clip = read_amc(written(tmp_path), 120.0)
    assert clip.names == ("root", "lfemur", "ltibia") and clip.parents == (-1, 0, 1)
    assert clip.times == pytest.approx([0, 1 / 120])
    assert clip.joints == pytest.approx(np.array([[0, 0, 0], [0, 0, 0], [0, -4, 0]]))
    assert clip.positions[0] == pytest.approx(np.array([[1, 2, 3], [1, 2, 3], [1, -2, 3]]))
    # The femur's x axis is the world's y, about which -y does not move. X is applied first: -y -> -z -> -x.
    assert clip.positions[1, 2] == pytest.approx([1 - 4, 2, 3])
    about_z = read_amc(
        written(tmp_path, amc=AMC.replace("lfemur 30 0", "lfemur 0 90").replace("90 90 0", "0 0 0")), 120.0
    )
    assert about_z.positions[1, 2] == pytest.approx([1 + 4, 2, 3])


def test_the_skeleton_is_the_one_that_fits(tmp_path):
    path = written(tmp_path)
    (tmp_path / "03.asf").write_text(ASF.replace("length 4", "length 5"))
    assert read_amc(path, 30.0).joints[2, 1] == -4
    (tmp_path / "02.asf").rename(tmp_path / "04.asf")
    with pytest.raises(UserError, match=r"needs the .asf of its skeleton beside it, such as 02.asf"):
        read_amc(path, 30.0)


@pytest.mark.parametrize(
    ("asf", "amc", "said"),
    [
        (ASF.replace(":hierarchy", ":other"), AMC, "no section :hierarchy"),
        (ASF.replace("lfemur ltibia", "lfemur lfoot"), AMC, "lfoot below lfemur"),
        (ASF.replace("root lfemur", "root lfemur root"), AMC, "root below root"),
        (ASF.replace("length 4", "length nan"), AMC, "lfemur has no finite direction"),
        (ASF, AMC.replace("lfemur 30 0", "lfemur 30"), "frame 2 has a line that does not fit"),
        (ASF, AMC.replace("lfemur 30 0", "lhumerus 30 0"), "frame 2 has a line that does not fit"),
        (ASF, AMC.replace("lfemur 30 0", ""), "frame 2 lacks the bone lfemur"),
        (ASF, AMC.replace("lfemur 30 0", "lfemur 30 inf"), "no finite number"),
        (ASF, AMC[: AMC.index("1\nroot")], "0 frames"),
    ],
)
def test_damage_is_one_sentence(tmp_path, asf, amc, said):
    with pytest.raises(UserError, match=said):
        read_amc(written(tmp_path, asf, amc), 120.0)


def test_the_frame_rate_must_be_said(tmp_path):
    with pytest.raises(UserError, match="add motion_fps=120"):
        read_amc(written(tmp_path))
    with pytest.raises(UserError, match="does not exist"):
        read_amc(tmp_path / "none.amc", 30.0)
