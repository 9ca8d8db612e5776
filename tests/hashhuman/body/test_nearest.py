"""Nearest points against a comparison with every point."""

import torch

from hashhuman.body.nearest import nearest


def test_against_all_distances():
    generator = torch.Generator().manual_seed(0)
    queries, points = torch.rand(50, 3, generator=generator), torch.rand(30, 3, generator=generator)
    distance, index = nearest(queries, points, 3)
    expected = torch.cdist(queries, points).sort(1)
    torch.testing.assert_close(distance, expected.values[:, :3])
    assert torch.equal(index, expected.indices[:, :3]) and distance.dtype == queries.dtype


def test_far_points_are_missing():
    distance, index = nearest(torch.zeros(1, 3), torch.tensor([[0.1, 0, 0], [0.0, 2, 0]]), 2, within=1.0)
    assert distance.tolist() == [[torch.tensor(0.1).item(), torch.inf]] and index.tolist() == [[0, 2]]
