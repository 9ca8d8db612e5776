"""Compositing in loops against plain PyTorch."""

import pytest
import torch

from hashhuman.renderer.volume import Samples, composite, weigh

COUNTS = torch.tensor([0, 3, 0, 40, 1] * 120)  # samples of each ray; enough rays for two threads


def scene() -> tuple[torch.Tensor, torch.Tensor, Samples]:
    generator = torch.Generator().manual_seed(0)
    start = torch.nn.functional.pad(COUNTS.cumsum(0), (1, 0))
    total = int(start[-1])
    t, delta, density = (torch.rand(total, generator=generator) for _ in range(3))
    density = 40 * density**4
    density[5], density[9] = 1e6, 0.0  # one opaque, one empty
    samples = Samples(
        torch.arange(len(COUNTS)).repeat_interleave(COUNTS), t, 0.1 * delta, start,
        torch.ones(len(COUNTS), dtype=torch.bool), start[-1:],
    )  # fmt: skip
    return torch.rand(total, 3, generator=generator), density, samples


@torch.no_grad()
def test_the_same_rendering():
    color, density, samples = scene()
    plain, fast = (composite(color, density, samples, kernels) for kernels in ("torch", "numba"))
    for name in ("color", "alpha", "depth", "weights"):
        torch.testing.assert_close(getattr(fast, name), getattr(plain, name), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weigh(density, samples, "numba"), weigh(density, samples), atol=1e-5, rtol=1e-5)
    assert (fast.alpha[COUNTS == 0] == 0).all() and fast.alpha.max() > 0.9


def test_the_same_gradients():
    color, density, samples = scene()
    generator = torch.Generator().manual_seed(1)
    results = []
    factors = [
        torch.randn(shape, generator=generator) for shape in ((len(COUNTS), 3), len(COUNTS), len(COUNTS), len(density))
    ]
    for kernels in ("torch", "numba"):
        inputs = color.clone().requires_grad_(), density.clone().requires_grad_()
        seen = composite(*inputs, samples, kernels)
        outputs = seen.color, seen.alpha, seen.depth, seen.weights
        loss = sum((output * factor).sum() for output, factor in zip(outputs, factors))
        results.append(torch.autograd.grad(loss, inputs))
    for plain, fast in zip(*results):
        torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-4)
        assert fast.abs().max() > 0.01


def test_a_second_derivative_is_refused():
    color, density, samples = scene()
    seen = composite(color, density.requires_grad_(), samples, "numba").alpha.square().sum()
    (slope,) = torch.autograd.grad(seen, density, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.square().sum().backward()
