"""Rays by row, and those of a camera's pixels."""

import torch

from hashhuman.geometry.rays import Rays, camera_rays
from tests import toy


def test_rows_of_rays():
    rays = Rays(torch.randn(4, 3), torch.randn(4, 3), torch.arange(4))
    assert len(rays) == 4 and len(rays[1:3]) == 2
    chosen = rays[torch.tensor([3, 0])]
    assert chosen.frames.tolist() == [3, 0] and torch.equal(chosen.rays_o, rays.rays_o[[3, 0]])


def test_a_cameras_rays_go_row_by_row():
    camera = toy.camera(1, size=7)
    rays = camera_rays(camera, torch.device("cpu"))
    assert len(rays) == 49 and not rays.frames.any()
    for row, x, y in ((0, 0.0, 0.0), (6, 6.0, 0.0), (7, 0.0, 1.0), (48, 6.0, 6.0)):
        pixel = camera.project(rays.rays_o[row] + 2.5 * rays.rays_d[row])[:2]
        torch.testing.assert_close(pixel, torch.tensor([x, y]), atol=1e-4, rtol=0)
