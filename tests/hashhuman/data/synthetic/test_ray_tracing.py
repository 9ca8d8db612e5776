"""Rays against capsules."""

import numpy as np
import pytest

from hashhuman.data.synthetic.ray_tracing import intersect
from tests.hashhuman.data.synthetic.segments import distance_to_axis


def test_intersections_agree_with_sphere_tracing():
    rng = np.random.default_rng(0)
    start, end, radius = np.array([0.1, -0.2, 0.3]), np.array([0.4, 0.3, -0.1]), 0.15
    rays_o = rng.normal(size=(400, 3))
    rays_o *= 2 / np.linalg.norm(rays_o, axis=1, keepdims=True)
    rays_d = rng.uniform(-0.5, 0.5, (400, 3)) - rays_o
    rays_d /= np.linalg.norm(rays_d, axis=1, keepdims=True)
    traced = np.zeros(400)
    for _ in range(500):
        traced += distance_to_axis(rays_o + traced[:, None] * rays_d, start, end) - radius
    expected = np.where(traced < 10, traced, np.inf)
    assert 50 < np.isfinite(expected).sum() < 300
    np.testing.assert_allclose(intersect(rays_o, rays_d, start, end, radius), expected, atol=1e-5)


def test_rays_from_behind_the_capsule_miss():
    origin, direction = np.array([[0.0, 0.0, 3.0]]), np.array([[0.0, 0.0, 1.0]])
    ends = np.array([-0.5, 0.0, 0.0]), np.array([0.5, 0.0, 0.0])
    assert intersect(origin, direction, *ends, 0.2) == np.inf
    assert intersect(origin, -direction, *ends, 0.2) == pytest.approx(2.8)
