"""The lens as the user gives it, and the rectification of pictures."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from hashhuman.errors import UserError
from preprocess.frames.lens import Lens, Rectifier


def test_distortion_is_undone() -> None:
    """A picture of dots, distorted by the definition; each must land where the written pinhole camera projects it."""
    K = np.array([[300.0, 0, 165], [0, 310, 115], [0, 0, 1]])
    D = np.array([-0.25, 0.08, 0.002, -0.001, 0.0])
    x, y = np.meshgrid([-0.3, -0.1, 0.15, 0.28], [-0.2, 0.05, 0.22])
    directions = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)
    image = np.zeros((240, 320, 3), np.uint8)
    for u, v in cv2.projectPoints(directions, np.zeros(3), np.zeros(3), K, D)[0][:, 0]:
        rows, columns = np.mgrid[0:240, 0:320]
        blob = 255 * np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 18)
        image = np.maximum(image, blob[..., None].astype(np.uint8))
    rectify = Rectifier(Lens(K, D), 240, 320, max_size=None)
    straight = rectify(image)[..., 0].astype(float)
    for u, v, _ in directions @ rectify.K.T:
        left, top = round(u) - 6, round(v) - 6
        patch = straight[top : top + 13, left : left + 13]
        rows, columns = np.mgrid[top : top + 13, left : left + 13]
        found = np.array([(patch * columns).sum(), (patch * rows).sum()]) / patch.sum()
        np.testing.assert_allclose(found, (u, v), atol=0.25)
    assert (rectify(np.full_like(image, 200)) > 150).all()  # no black rim


def test_camera_file(tmp_path: Path) -> None:
    K = [[50, 0, 30], [0, 51, 20], [0, 0, 1]]
    (tmp_path / "camera.json").write_text(json.dumps({"K": K}))
    lens = Lens.parse(str(tmp_path / "camera.json"))
    np.testing.assert_array_equal(lens.K, K)
    assert not lens.D.any()


@pytest.mark.parametrize(
    "camera", [{"D": [0, 0, 0, 0]}, {"K": [1, 2]}, {"K": np.eye(3).tolist(), "D": [1]}, {"K": "x"}]
)
def test_wrong_camera(camera: dict) -> None:
    with pytest.raises(UserError, match="the camera"):
        Lens.parse(camera)
