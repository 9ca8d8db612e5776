"""Merging by the highest density: by hand, and Triton against plain PyTorch."""

import pytest
import torch

from hashhuman.field.merge import merge

SLOTS = torch.tensor([[0, -1, 1, -1, -1], [2, 3, 4, -1, -1], [-1, -1, 5, 6, -1]])
DENSITY = torch.tensor([3.0, 1.0, 2.0, 0.5, 7.0, 4.0, 0.0])


@pytest.mark.parametrize("kernels", ["torch", "triton"])
def test_the_part_with_the_highest_density_wins(kernels: str, device: torch.device):
    density = DENSITY.to(device, copy=True).requires_grad_()
    color = torch.arange(21.0).view(7, 3).to(device).requires_grad_()
    merged, sigma = (x.cpu() for x in merge(color, density, SLOTS.to(device), kernels))
    torch.testing.assert_close(sigma, torch.tensor([3.0, 0.5, 7.0, 0.0, 0.0]))
    torch.testing.assert_close(merged[:4], color[[0, 3, 4, 6]].cpu())
    assert (merged[4] == 0).all()
    (merged.sum() + (sigma * torch.arange(1.0, 6)).sum()).backward()
    torch.testing.assert_close(density.grad.cpu(), torch.tensor([1.0, 0, 0, 2.0, 3.0, 0, 4.0]))
    torch.testing.assert_close(color.grad[:, 0].cpu(), torch.tensor([1.0, 0, 0, 1.0, 1.0, 0, 1.0]))
