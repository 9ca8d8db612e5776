"""Pinhole cameras against OpenCV and by hand."""

import cv2
import numpy as np
import pytest
import torch

from hashhuman.geometry.camera import Camera
from tests import toy

BY_HAND = Camera(
    K=torch.tensor([[10.0, 0.0, 2.0], [0.0, 20.0, 1.0], [0.0, 0.0, 1.0]]),
    R=torch.eye(3),
    T=torch.tensor([0.0, 0.0, 2.0]),
    height=3,
    width=5,
)


def test_projection_by_hand():
    # Two metres in front of the camera; x right, y down: the optical axis meets the integer pixel centre (2, 1).
    projected = BY_HAND.project(torch.tensor([[0.0, 0.0, 0.0], [0.2, 0.1, 0.0], [0.0, 0.0, 2.0]]))
    torch.testing.assert_close(projected, torch.tensor([[2.0, 1.0, 2.0], [3.0, 2.0, 2.0], [2.0, 1.0, 4.0]]))
    torch.testing.assert_close(BY_HAND.center, torch.tensor([0.0, 0.0, -2.0]))


def test_rays_by_hand():
    rays_o, rays_d = BY_HAND.rays(torch.tensor([[2.0, 1.0], [12.0, 1.0]]))
    torch.testing.assert_close(rays_o, torch.tensor([[0.0, 0.0, -2.0]]).expand(2, 3))
    torch.testing.assert_close(rays_d, torch.tensor([[0.0, 0.0, 1.0], [0.5**0.5, 0.0, 0.5**0.5]]))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_projection_agrees_with_opencv(index: int):
    camera, points = toy.camera(index), torch.randn(50, 3, generator=torch.Generator().manual_seed(index)) * 0.5
    rotation = cv2.Rodrigues(camera.R.double().numpy())[0]
    expected, _ = cv2.projectPoints(
        points.double().numpy(), rotation, camera.T.double().numpy(), camera.K.double().numpy(), None
    )
    np.testing.assert_allclose(camera.project(points)[:, :2], expected[:, 0], atol=1e-3)


def test_rays_pass_through_what_is_projected():
    camera, points = toy.camera(1), torch.randn(4, 50, 3, generator=torch.Generator().manual_seed(0)) * 0.5
    projected = camera.project(points)
    rays_o, rays_d = camera.rays(projected[..., :2])
    torch.testing.assert_close(rays_d.norm(dim=-1), torch.ones(4, 50))
    along = ((points - rays_o) * rays_d).sum(-1, keepdim=True)
    torch.testing.assert_close(rays_o + along * rays_d, points, atol=1e-5, rtol=0)
    optical_axis = camera.R[2]
    torch.testing.assert_close(along[..., 0] * (rays_d @ optical_axis), projected[..., 2])


@pytest.mark.parametrize(("scale", "size"), [(0.5, (48, 64)), (0.37, (97, 131)), (2.0, (50, 41))])
def test_scaled_cameras_see_what_resized_pictures_show(scale: float, size: tuple[int, int]):
    """A spot drawn where a point projects is still there, at cv2's resolution, after cv2 has resized the picture."""
    height, width = size
    K = torch.tensor([[1.3 * width, 0, width / 2 - 0.5], [0, 1.3 * width, height / 2 - 0.5], [0, 0, 1]])
    camera = Camera(K, torch.eye(3), torch.tensor([0.0, 0.0, 3.0]), height, width)
    small = camera.scaled(scale)
    assert (small.height, small.width) == (round(height * scale), round(width * scale))
    point = torch.tensor([0.73, 0.31, 0.0]) * min(size) / width
    x, y, _ = camera.project(point)
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    spot = np.exp(-((columns - float(x)) ** 2 + (rows - float(y)) ** 2) / 8).astype(np.float32)
    resized = cv2.resize(spot, (small.width, small.height), interpolation=cv2.INTER_AREA if scale < 1 else 1)
    columns, rows = np.meshgrid(np.arange(small.width), np.arange(small.height))
    centroid = [float((axis * resized).sum() / resized.sum()) for axis in (columns, rows)]
    np.testing.assert_allclose(centroid, small.project(point)[:2], atol=0.02)


def test_scaling_moves_pixel_edges_not_centres():
    small = BY_HAND.scaled(1.0)
    torch.testing.assert_close(small.K, BY_HAND.K)
    double = BY_HAND.scaled(2.0)  # pixel 2 covers 1.5 to 2.5, so 3.5 to 5.5: centre 4.5
    torch.testing.assert_close(double.K[:2], torch.tensor([[20.0, 0.0, 4.5], [0.0, 40.0, 2.5]]))
    assert BY_HAND.K[0, 0] == 10  # left alone
