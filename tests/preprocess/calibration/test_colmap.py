"""COLMAP's text files, with numbers worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from hashhuman.errors import UserError
from preprocess.calibration.colmap import read_colmap

IMAGES = """# Image list with two lines of data per image:
#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME
#   POINTS2D[] as (X, Y, POINT3D_ID)
# Number of images: 2, mean observations per image: 1
7 0.7071067811865476 0 0 0.7071067811865476 1 2 3 1 b with space.png

2 1 0 0 0 -1 0.5 4 1 a.png
10.5 20.5 3 11.5 21.5 -1
"""


def write(folder: Path, camera: str, images: str = IMAGES) -> Path:
    (folder / "cameras.txt").write_text(f"# Camera list\n{camera}\n")
    (folder / "images.txt").write_text(images)
    return folder


def test_pictures_are_sorted_and_may_have_no_points(tmp_path: Path):
    first, second = read_colmap(write(tmp_path, "1 PINHOLE 640 480 500 510 320 240"))
    assert (first.name, second.name) == ("a.png", "b with space.png")
    np.testing.assert_array_equal(first.camera.R, np.eye(3))
    np.testing.assert_array_equal(first.camera.T, [-1, 0.5, 4])
    np.testing.assert_allclose(second.camera.R, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)  # a quarter about z
    assert first.camera.size == (480, 640)


@pytest.mark.parametrize(
    ("camera", "K", "D"),
    [
        ("SIMPLE_PINHOLE 640 480 500 320 240", (500, 500, 319.5, 239.5), ()),
        ("PINHOLE 640 480 500 510 320 240", (500, 510, 319.5, 239.5), ()),
        ("SIMPLE_RADIAL 640 480 500 320 240 0.1", (500, 500, 319.5, 239.5), (0.1,)),
        ("RADIAL 640 480 500 320 240 0.1 -0.2", (500, 500, 319.5, 239.5), (0.1, -0.2)),
        ("OPENCV 640 480 500 510 320 240 0.1 -0.2 0.01 0.02", (500, 510, 319.5, 239.5), (0.1, -0.2, 0.01, 0.02)),
    ],
)
def test_models(camera: str, K: tuple, D: tuple, tmp_path: Path):
    """The middle of the upper left pixel is at a half there, and at zero here."""
    found = read_colmap(write(tmp_path, f"1 {camera}"))[0].camera
    fx, fy, cx, cy = K
    np.testing.assert_allclose(found.K, [[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    np.testing.assert_allclose(found.D, np.pad(D, (0, 5 - len(D))))


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ("1 FOV 640 480 500 510 320 240 1", "has a camera 1 FOV, and its model must be one of SIMPLE_PINHOLE"),
        ("1 PINHOLE 640 480 500 510 320", "must have other parameters than 500 510 320"),
        ("1 PINHOLE 640 480 500 nan 320 240", "holds '640 480 500 nan 320 240' where finite numbers must stand"),
        ("1 PINHOLE 640 480 500 x 320 240", "where finite numbers must stand"),
        ("1 PINHOLE 640 480 -500 510 320 240", "the size and the focal length of camera 1 must be positive"),
        ("2 PINHOLE 640 480 500 510 320 240", "is no picture of a camera"),
    ],
)
def test_cameras_that_are_none(camera: str, message: str, tmp_path: Path):
    with pytest.raises(UserError, match=message) as caught:
        read_colmap(write(tmp_path, camera))
    assert "\n" not in str(caught.value)


def test_pictures_that_are_none(tmp_path: Path):
    camera = "1 PINHOLE 640 480 500 510 320 240"
    for images, message in (
        ("# nothing\n", "lists no pictures"),
        ("1 0 0 0 0 1 2 3 1 a.png\n\n", "the quaternion of a.png is no rotation"),
        ("1 1 0 0 0 1 2 3 a.png\n\n", "is no picture of a camera"),
        ("1 1 0 0 inf 1 2 3 1 a.png\n\n", "where finite numbers must stand"),
    ):
        with pytest.raises(UserError, match=message):
            read_colmap(write(tmp_path, camera, images))
    (tmp_path / "images.txt").unlink()
    with pytest.raises(UserError, match=r"images\.txt does not exist\."):
        read_colmap(tmp_path)
    (tmp_path / "images.bin").touch()
    with pytest.raises(UserError, match=r"images\.txt does not exist: write it with colmap model_converter"):
        read_colmap(tmp_path)
