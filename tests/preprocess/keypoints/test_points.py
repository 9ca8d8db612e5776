"""The file of points, and BODY_25."""

import json
from pathlib import Path

import numpy as np
import pytest

from hashhuman.errors import UserError
from hashhuman.io.files import save_npz
from preprocess.keypoints.points import Keypoints
from preprocess.skeleton import NAMES
from tests.preprocess.keypoints.people import sample


def test_body25_is_openposes() -> None:
    keypoints = sample()
    points = keypoints.body25(0)
    image = dict(zip(NAMES, keypoints.image_points[0]))
    assert points.shape == (25, 3)
    np.testing.assert_allclose(points[0, :2], image["nose"], atol=1e-3)
    np.testing.assert_allclose(points[1, :2], (image["left_shoulder"] + image["right_shoulder"]) / 2, atol=1e-3)
    np.testing.assert_allclose(points[4, :2], image["right_wrist"], atol=1e-3)
    np.testing.assert_allclose(points[8, :2], (image["left_hip"] + image["right_hip"]) / 2, atol=1e-3)
    np.testing.assert_allclose(points[24, :2], image["right_heel"], atol=1e-3)
    assert not points[[20, 23]].any()  # small toes


def test_files_read_back(tmp_path: Path) -> None:
    keypoints = sample()
    keypoints.save(tmp_path / "00.npz")
    read = Keypoints.load(tmp_path / "00.npz")
    np.testing.assert_array_equal(read.image_points, keypoints.image_points)
    np.testing.assert_array_equal(read.detected, keypoints.detected)
    keypoints.write_body25(tmp_path / "body25")
    files = sorted((tmp_path / "body25").iterdir())
    assert [f.name for f in files] == [f"{i:06d}_keypoints.json" for i in range(4)]
    assert [len(json.loads(f.read_text())["people"]) for f in files] == [1, 1, 0, 1]


@pytest.mark.parametrize("harm", ["visibility", "frames", "shape"])
def test_wrong_points_file(tmp_path: Path, harm: str) -> None:
    sample().save(tmp_path / "00.npz")
    with np.load(tmp_path / "00.npz") as archive:
        arrays = dict(archive)
    if harm == "shape":
        arrays["image_points"] = arrays["image_points"][:, :17]
    else:
        del arrays[harm]
    save_npz(tmp_path / "00.npz", arrays)
    with pytest.raises(UserError, match=r"00\.npz must hold"):
        Keypoints.load(tmp_path / "00.npz")
