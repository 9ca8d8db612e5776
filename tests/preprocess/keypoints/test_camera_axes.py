"""Metric points in the axes of the real camera."""

import numpy as np

from preprocess.keypoints.camera_axes import to_camera_axes


def test_3d_points_turn_with_the_ray_to_the_person():
    K = np.array([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]])
    image = np.full((1, 33, 2), 50.0)
    ahead = np.zeros((1, 33, 3))
    ahead[..., 2] = 1
    assert np.allclose(to_camera_axes(ahead, image, K), ahead)
    image[..., 0] = 150  # 45 degrees to the right: what lies behind the person lies further to the right
    assert np.allclose(to_camera_axes(ahead, image, K), np.array([1, 0, 1]) / np.sqrt(2))
