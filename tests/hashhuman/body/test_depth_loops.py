"""The loop of the depth buffer against plain PyTorch."""

import torch

from hashhuman.body import depth_loops, visibility

PIXELS, SPLITS = 40, 7


def test_the_same_buffer():
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(50, 1, 3, generator=generator) * 10 + torch.rand(50, 3, 3, generator=generator)
    low, scale = torch.tensor([1.0, 0.5]), torch.tensor(4.5)  # some points lie outside
    points = visibility._sampled(corners, SPLITS)
    column, row = ((points[:, :2] - low) * scale).round().long().clamp(0, PIXELS).unbind(1)
    expected = torch.full(((PIXELS + 1) ** 2,), torch.inf)
    expected = expected.scatter_reduce(0, row * (PIXELS + 1) + column, points[:, 2], "amin")
    found = depth_loops.nearest(corners, low, scale, SPLITS, PIXELS)
    assert expected.isinf().any() and (row == 0).any() and (row == PIXELS).any()
    assert torch.equal(found.isinf(), expected.isinf())
    filled = expected.isfinite()
    torch.testing.assert_close(found[filled], expected[filled], atol=1e-5, rtol=1e-5)
