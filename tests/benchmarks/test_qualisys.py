from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.qualisys import read_calibration
from hashhuman.errors import UserError

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
    (camera,) = read_calibration(tmp_path / "Calib.qca.txt")
    return camera


def test_reads_a_camera(camera):
    assert (camera.name, camera.height, camera.width) == ("left", 1920, 1088)
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


def test_letterboxing_moves_pictures_as_resizing_and_padding_does(camera):
    image = np.zeros((1920, 1088), np.float32)
    image[300:304, 700:704] = 1  # centred on (701.5, 301.5)
    boxed = np.pad(cv2.resize(image, (544, 960), interpolation=cv2.INTER_AREA), ((20, 20), (0, 0)))
    found = [np.average(grid, weights=boxed) for grid in np.indices(boxed.shape)][::-1]
    new = camera.letterboxed(1000, 544)
    ray = np.linalg.solve(camera.K, [701.5, 301.5, 1])
    np.testing.assert_allclose((new.K @ ray)[:2], found, atol=1e-6)
    assert (new.height, new.width) == (1000, 544)


def test_an_equal_size_changes_nothing(camera):
    np.testing.assert_array_equal(camera.letterboxed(1920, 1088).K, camera.K)


def test_refuses_what_does_not_fit(camera):
    with pytest.raises(UserError, match="calibrated at 1088 x 1920"):
        camera.letterboxed(1000, 1088)


@pytest.mark.parametrize("text", ["", "<a/>", "<cameras><camera serial='x'/></cameras>", "not xml"])
def test_refuses_other_files(tmp_path, text):
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(UserError, match=r"x\.txt"):
        read_calibration(tmp_path / "x.txt")
    with pytest.raises(UserError, match="absent"):
        read_calibration(tmp_path / "absent.txt")
