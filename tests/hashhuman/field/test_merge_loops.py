"""The loop that chooses the densest part against plain PyTorch."""

import torch

from hashhuman.field import merge_loops
from hashhuman.field.merge import merge, winners


def test_the_same_winners():
    generator = torch.Generator().manual_seed(0)
    slots = torch.stack([torch.randperm(4000, generator=generator)[:900] for _ in range(4)])
    slots[torch.rand(slots.shape, generator=generator) < 0.5] = -1
    density = torch.rand(4000, generator=generator)
    assert (slots < 0).all(0).any()
    torch.testing.assert_close(merge_loops.winners(density, slots), winners(density, slots))


def test_values_and_gradients_by_hand():
    density = torch.tensor([3.0, 1.0, 2.0]).requires_grad_()
    color = torch.arange(9.0).view(3, 3).requires_grad_()
    merged, sigma = merge(color, density, torch.tensor([[0, 1, -1], [2, 2, -1]]), "numba")
    torch.testing.assert_close(sigma, torch.tensor([3.0, 2.0, 0.0]))
    (merged.sum() + (sigma * torch.tensor([1.0, 10.0, 100.0])).sum()).backward()
    torch.testing.assert_close(density.grad, torch.tensor([1.0, 0.0, 10.0]))
    torch.testing.assert_close(color.grad[:, 0], torch.tensor([1.0, 0.0, 1.0]))


def test_the_same_values_and_gradients():
    generator = torch.Generator().manual_seed(0)
    slots = torch.stack([torch.randperm(1000, generator=generator)[:900] + 1000 * part for part in range(4)])
    slots[torch.rand(slots.shape, generator=generator) < 0.5] = -1
    color, density = torch.rand(4000, 3, generator=generator), torch.rand(4000, generator=generator)
    upstream = torch.randn(900, 4, generator=generator)
    results = []
    for kernels in ("torch", "numba"):
        inputs = color.clone().requires_grad_(), density.clone().requires_grad_()
        merged = torch.cat([value.view(900, -1) for value in merge(*inputs, slots, kernels)], 1)
        results.append([merged, *torch.autograd.grad((merged * upstream).sum(), inputs)])
    assert all(torch.equal(plain, fast) for plain, fast in zip(*results))
