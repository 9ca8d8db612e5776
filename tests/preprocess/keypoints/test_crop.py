"""How a crop maps to the picture."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from preprocess.keypoints.crop import SIDE, Crop


def test_crop_stands_the_person_upright() -> None:
    crop = Crop.around(np.array([100.0, 80.0]), np.array([140.0, 80.0]))  # the head lies to the right
    matrix = crop.image_from_crop
    middle = matrix @ [(SIDE - 1) / 2, (SIDE - 1) / 2, 1]
    above = matrix @ [(SIDE - 1) / 2, 0, 1]
    np.testing.assert_allclose(middle[:2], [100, 80])
    assert above[0] > 140 and above[1] == pytest.approx(80)
    assert crop.side == pytest.approx(100)  # 1.25 of the circle's diameter
    rotation = Rotation.from_euler("z", crop.angle).as_matrix()[:2, :2]
    np.testing.assert_allclose(crop.rotation, rotation, atol=1e-12)
    np.testing.assert_allclose(matrix[:2, :2], rotation * 100 / SIDE, atol=1e-12)
