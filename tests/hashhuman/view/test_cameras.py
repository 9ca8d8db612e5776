"""The browser's camera and the run's."""

import numpy as np
import pytest
import torch

from hashhuman.view.cameras import Viewpoint, box_of, cropped
from tests import toy


def moved() -> np.ndarray:
    """A rigid map from the world to the browser's space."""
    angle = 0.4
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    placed = np.eye(4)
    placed[:3, :3], placed[:3, 3] = turn @ np.diag([1, -1, -1]), [0.3, 1.0, -2.0]
    return placed


def test_there_and_back():
    camera, placed = toy.camera(1), moved()
    back = Viewpoint.of(camera, placed).camera(placed)
    for name in ("K", "R", "T"):
        assert torch.allclose(getattr(back, name), getattr(camera, name), atol=1e-4), name
    assert (back.height, back.width) == (camera.height, camera.width)


def test_the_quaternion_turns_as_the_matrix_does():
    viewpoint = Viewpoint.of(toy.camera(1), moved())
    w, x, y, z = viewpoint.wxyz
    forward = [2 * (x * z + w * y), 2 * (y * z - w * x), w * w - x * x - y * y + z * z]  # where +z goes
    assert forward == pytest.approx(viewpoint.rotation[:, 2], abs=1e-6)  # cameras are float32


def test_a_crop_shows_the_same_pixels():
    camera = toy.camera(0)
    part = cropped(camera, 5, 20, 7, 40)
    assert (part.height, part.width) == (15, 33)
    whole = camera.rays(torch.tensor([[10.0, 6.0]]))[1]
    assert torch.allclose(part.rays(torch.tensor([[3.0, 1.0]]))[1], whole, atol=1e-6)


def test_the_box_holds_every_pixel_of_the_body():
    body, camera = toy.template(), toy.camera(0)
    vertices = toy.world_vertices(body, 1)
    rows, columns = np.nonzero(toy.cast(vertices, body.faces, camera) >= 0)
    top, bottom, left, right = box_of(vertices, camera, 0.0) or (0, 0, 0, 0)
    assert top <= rows.min() and rows.max() < bottom and left <= columns.min() and columns.max() < right
    assert rows.min() - top < 3 and right - columns.max() < 4  # and hardly more
    wider = box_of(vertices, camera, 0.1)
    assert wider is not None and wider[0] < top and wider[3] > right


def test_the_box_of_a_body_beside_behind_and_around_the_camera():
    camera = toy.camera(0)
    points = camera.center + camera.R[2] * 2  # two metres in front
    aside = points + camera.R[0] * 50
    behind = camera.center - camera.R[2] * 2
    assert box_of(aside[None], camera, 0.1) is None
    assert box_of(behind[None], camera, 0.1) is None
    assert box_of(torch.stack([points, behind]), camera, 0.1) == (0, 48, 0, 48)
