"""The mean that outliers hardly move."""

import torch

from preprocess.body_fit.optimise.robust import robust_mean


def test_an_outlier_hardly_moves_the_mean():
    values = torch.tensor([[[1.0, 0]], [[1.2, 0]], [[0.8, 0]], [[9.0, 9]], [[5.0, 5]]])
    weight = torch.tensor([[1.0], [1], [1], [1], [0]])  # the last is not seen
    point = torch.full((5, 1), 2)
    found = robust_mean(values, weight, point, 4)
    assert (found - found[0]).abs().max() == 0 and (found[0, 0] - torch.tensor([1.0, 0])).norm() < 0.25
    assert torch.equal(robust_mean(values, torch.zeros(5, 1), point, 4), torch.zeros(5, 1, 2))


def test_each_point_has_a_mean_of_its_own():
    values = torch.tensor([[[1.0], [10.0]], [[10.2], [1.1]]])
    found = robust_mean(values, torch.ones(2, 2), torch.tensor([[0, 3], [3, 0]]), 4)
    assert torch.allclose(found[..., 0], torch.tensor([[1.05, 10.1], [10.1, 1.05]]), atol=1e-4)
