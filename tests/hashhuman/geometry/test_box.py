"""Boxes and the rays through them."""

import torch

from hashhuman.geometry import box


def test_bounds():
    points = torch.tensor([[0.0, 2.0, -1.0], [1.0, -3.0, 0.5]])
    torch.testing.assert_close(box.bounds(points, 0.5), torch.tensor([[-0.5, -3.5, -1.5], [1.5, 2.5, 1.0]]))


def test_by_hand():
    low, high = torch.tensor([[-1.0, -1.0, -1.0]]), torch.tensor([[1.0, 1.0, 1.0]])
    rays_o = torch.tensor([[0.0, 0.0, -5.0], [0.0, 0.0, 0.0], [0.0, 0.0, 5.0], [3.0, 0.0, -5.0]])
    rays_d = torch.tensor([[0.0, 0.0, 1.0]]).expand(4, 3)
    near, far = box.intersect(rays_o, rays_d, low, high)
    torch.testing.assert_close(near[:2], torch.tensor([4.0, 0.0]))
    torch.testing.assert_close(far[:2], torch.tensor([6.0, 1.0]))
    assert (far < near)[2:].all()  # behind the ray; beside it


def test_against_points_along_the_rays():
    generator = torch.Generator().manual_seed(0)
    low, high = torch.tensor([-0.4, -0.9, -0.2]), torch.tensor([0.5, 0.7, 0.3])
    rays_o = 3 * torch.nn.functional.normalize(torch.randn(200, 3, generator=generator), dim=1)
    rays_d = torch.nn.functional.normalize(torch.rand(200, 3, generator=generator) * 2 - 1 - rays_o, dim=1)
    near, far = box.intersect(rays_o, rays_d, low[None], high[None])
    t = torch.linspace(0, 6, 6001)
    points = rays_o[:, None] + t[:, None] * rays_d[:, None]
    inside = ((points > low) & (points < high)).all(-1)
    assert 30 < inside.any(1).sum() < 170
    for ray in range(200):
        if inside[ray].any():
            within = t[inside[ray]]
            assert abs(within[0] - near[ray]) < 2e-3
            assert abs(within[-1] - far[ray]) < 2e-3
        else:
            assert far[ray] - near[ray] < 2e-3
