"""Cameras around the toy."""

import pytest
import torch

from hashhuman.evaluation.orbit import orbit
from tests import toy


def test_all_cameras_frame_the_body_upright():
    vertices = toy.world_vertices(toy.template(), 2)
    up = torch.tensor([0.0, 0.6, 0.8])
    toward = torch.tensor([1.0, 0.0, 0.0])
    cameras = orbit(vertices, up, toward, count=6, height=101)
    center = (vertices.amin(0) + vertices.amax(0)) / 2
    previous = None
    for camera in cameras:
        assert camera.height == 101 and camera.width % 2 == 0
        torch.testing.assert_close(camera.R @ camera.R.T, torch.eye(3), atol=1e-5, rtol=0)
        assert torch.linalg.det(camera.R) == pytest.approx(1, abs=1e-5)
        torch.testing.assert_close(camera.R @ up, torch.tensor([0.0, -1.0, 0.0]), atol=1e-5, rtol=0)
        x, y, depth = camera.project(vertices).unbind(-1)
        assert x.min() > 0 and x.max() < camera.width - 1 and y.min() > 0 and y.max() < camera.height - 1
        assert depth.min() > 0
        position = camera.center - center
        if previous is not None:  # sixty degrees further, counter-clockwise seen from above
            assert torch.linalg.cross(previous, position) @ up > 0
        previous = position - (position @ up) * up
    first = cameras[0].center - center
    torch.testing.assert_close((first - (first @ up) * up) / first.norm(), toward, atol=0.05, rtol=0)
    fills = cameras[0].project(vertices)[:, 1]
    assert (fills.max() - fills.min()) > 0.5 * 101


def test_an_orbit_may_start_straight_above():
    up = torch.tensor([0.0, 1.0, 0.0])
    (camera,) = orbit(toy.template().vertices, up, 2 * up, count=1, height=40)
    assert torch.isfinite(camera.T).all()


def test_a_wide_body_is_shown_smaller():
    flat = torch.tensor([[-3.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    up, toward = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    (wide,), (bounded,) = (orbit(flat, up, toward, 1, 90, widest=widest) for widest in (None, 16 / 9))
    assert wide.width > 2.9 * 90 and 158 <= bounded.width <= 162
    seen = bounded.project(flat)
    assert (seen[:, :2] > 0).all() and (seen[:, 0] < bounded.width - 1).all() and (seen[:, 1] < 89).all()
