"""Calibrations of Pose2Sim, as its own files look."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from hashhuman.errors import UserError
from preprocess.calibration.read import read_calibration

CAMERA = """
[int_cam01_img]
name = "cam01"
size = [ 1088.0, 1920.0]
matrix = [ [ 1681.2, 0.0, 540.5], [ 0.0, 1680.9, 953.25], [ 0.0, 0.0, 1.0]]
distortions = [ -0.05, 0.1, 0.001, -0.002]
rotation = [ 0.9, -1.6, 1.4]
translation = [ 0.5, 1.25, 4.5]
fisheye = false

[metadata]
adjusted = false
error = 0.0
"""


def test_a_camera(tmp_path: Path):
    (tmp_path / "Calib.toml").write_text(CAMERA)
    (camera,) = read_calibration(tmp_path / "Calib.toml").values()
    assert camera.name == "cam01" and camera.size == (1920, 1088)
    np.testing.assert_array_equal(camera.K[:2], [[1681.2, 0, 540.5], [0, 1680.9, 953.25]])
    np.testing.assert_array_equal(camera.D, [-0.05, 0.1, 0.001, -0.002])
    np.testing.assert_allclose(camera.R, cv2.Rodrigues(np.array([0.9, -1.6, 1.4]))[0], atol=1e-12)
    np.testing.assert_array_equal(camera.T, [0.5, 1.25, 4.5])


def test_what_is_wrong_is_said(tmp_path: Path):
    path = tmp_path / "Calib.toml"
    path.write_text(CAMERA.replace("fisheye = false", "fisheye = true"))
    with pytest.raises(UserError, match="cam01 is a fisheye"):
        read_calibration(path)
    path.write_text(CAMERA[:60])
    with pytest.raises(UserError, match=r"Calib\.toml is not a readable TOML file"):
        read_calibration(path)
    path.write_text("[metadata]\nerror = 0.0")
    with pytest.raises(UserError, match="holds no camera"):
        read_calibration(path)


@pytest.mark.parametrize("size", ['["a", 1]', "[inf, 1.0]", "[[1], 2]"])
def test_a_size_that_is_no_number(tmp_path: Path, size: str):
    path = tmp_path / "Calib.toml"
    path.write_text(CAMERA.replace("[ 1088.0, 1920.0]", size))
    with pytest.raises(UserError, match="the picture size of camera cam01 is not two whole numbers"):
        read_calibration(path)
