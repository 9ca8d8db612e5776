from pathlib import Path

import numpy as np
import pytest

from hashhuman.errors import UserError
from preprocess.calibration.qualisys import read_qualisys

# A camera 3 m up and 4 m from the origin along x, looking along -x, upright. Its own axes, y up and looking along -z:
# x is the world's y, y the world's z, z the world's x; the file lists these columns.
FILE = """<?xml version='1.0' encoding='ASCII'?>
<calibration><cameras>
<camera serial="left"><fov_video left="0" top="0" right="1087" bottom="1919"/>
<transform r11="0" r12="1" r13="0" r21="0" r22="0" r23="1" r31="1" r32="0" r33="0" x="4000" y="0" z="3000"/>
<intrinsic focalLengthU="64000" focalLengthV="65280" centerPointU="32000" centerPointV="64000"
 radialDistortion1="-0.1" radialDistortion2="0.2" radialDistortion3="0.3"
 tangentalDistortion1="0.01" tangentalDistortion2="0.02"/></camera>
</cameras></calibration>
"""


@pytest.fixture
def camera(tmp_path: Path):
    (tmp_path / "Calib.qca.txt").write_text(FILE)
    return read_qualisys(tmp_path / "Calib.qca.txt")["left"]


def test_reads_a_camera(camera):
    assert (camera.name, camera.size) == ("left", (1920, 1088))
    np.testing.assert_allclose(camera.K, [[1000, 0, 500], [0, 1020, 1000], [0, 0, 1]])
    np.testing.assert_allclose(camera.D, [-0.1, 0.2, 0.01, 0.02, 0.3])
    assert np.linalg.det(camera.R) == pytest.approx(1)
    np.testing.assert_allclose(-camera.R.T @ camera.T, [4, 0, 3])


@pytest.mark.parametrize(
    ("world", "pixel"),
    [
        ([0, 0, 3], [500, 1000]),  # straight ahead
        ([0, 0, 4], [500, 1000 - 1020 / 4]),  # a metre higher is above
        ([0, 1, 3], [500 + 1000 / 4, 1000]),  # who looks along -x has y on the right
    ],
)
def test_projects_where_a_hand_would(camera, world, pixel):
    x = camera.K @ (camera.R @ world + camera.T)
    np.testing.assert_allclose(x[:2] / x[2], pixel)


@pytest.mark.parametrize(
    "text", ["", "<cameras><camera serial='x'/></cameras>", "not xml", FILE[:300], FILE.replace("4000", "no")]
)
def test_refuses_other_files(tmp_path, text):
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(UserError, match=r"x\.txt"):
        read_qualisys(tmp_path / "x.txt")
    with pytest.raises(UserError, match="absent"):
        read_qualisys(tmp_path / "absent.txt")
