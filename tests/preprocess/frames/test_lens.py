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


def test_a_fisheye_is_undone_by_its_own_model() -> None:
    """A point at an angle of 40 degrees from the axis, by Kannala and Brandt's polynomial (cv2.fisheye's)."""
    K, D = np.array([[200.0, 0, 160], [0, 200, 120], [0, 0, 1]]), [0.05, -0.01, 0.003, 0.0]
    image = np.zeros((240, 320, 3), np.uint8)
    angle = np.radians([20, 30, 38])
    spread = angle * (1 + sum(k * angle ** (2 * i + 2) for i, k in enumerate(D)))
    rows, columns = np.mgrid[0:240, 0:320]
    for radius in 200 * spread:
        blob = 255 * np.exp(-((columns - 160 - radius) ** 2 + (rows - 120) ** 2) / 18)
        image = np.maximum(image, blob[..., None].astype(np.uint8))
    rectify = Rectifier(Lens.parse({"K": K.tolist(), "D": D, "model": "fisheye"}), 240, 320, max_size=None)
    line = rectify(image)[round(rectify.K[1, 2]), :, 0]
    for tangent in np.tan(angle):
        x = rectify.K[0, 0] * tangent + rectify.K[0, 2]
        if x < 310:
            near = line[round(x) - 8 : round(x) + 9].astype(float)
            assert abs((near * (np.arange(len(near)) + round(x) - 8)).sum() / near.sum() - x) < 1
    assert rectify.K[0, 0] * np.tan(angle[0]) + rectify.K[0, 2] < 310
    for wrong in ({"model": "fisheye", "D": [0.1] * 5}, {"model": "equirectangular"}):
        with pytest.raises(UserError, match="fisheye"):
            Lens.parse({"K": K.tolist(), **wrong})


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


def test_masks_are_rectified_as_pictures_are() -> None:
    """Each pixel of a map of ids is the one nearest to where the lens sees it; coverage is interpolated."""
    K, D = np.array([[300.0, 0, 165], [0, 310, 115], [0, 0, 1]]), np.array([-0.25, 0.08, 0.002, -0.001, 0.0])
    rectify = Rectifier(Lens(K, D), 240, 320, max_size=None)
    rows, columns = np.mgrid[0:240, 0:320]
    rays = np.stack([columns, rows, np.ones_like(rows)], -1).reshape(-1, 3) @ np.linalg.inv(rectify.K).T
    seen = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), K, D)[0].reshape(240, 320, 2)
    inside = ((seen > 1) & (seen < [318, 238])).all(-1)
    x, y = seen[inside].round().astype(int).T
    ids = rectify.mask(columns % 5 + 5 * (rows % 7))
    assert ids.dtype == np.uint16 and (ids[inside] == x % 5 + 5 * (y % 7)).mean() > 0.95  # maps have steps of a 32nd
    ramp = rectify.mask((columns / 319).astype(np.float32))
    np.testing.assert_allclose(ramp[inside] * 319, seen[inside][:, 0], atol=0.05)
    assert rectify.mask(np.ones((240, 320), bool))[inside].min() == 1  # of one id, coverage
