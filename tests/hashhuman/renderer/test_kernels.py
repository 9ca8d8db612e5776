"""Triton's sampler and compositing against plain PyTorch."""

import pytest
import torch

from hashhuman.errors import UserError
from hashhuman.geometry.rays import Rays
from hashhuman.renderer.shell import Shell
from hashhuman.renderer.shell_sampler import ShellSampler
from hashhuman.renderer.volume import Samples, composite
from tests import toy
from tests.hashhuman import small

STEP, PER_BIN = 0.02, 3


def some_rays(count: int) -> Rays:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand(count, 2, generator=generator) * 47
    rays_o, rays_d = toy.camera(0).rays(pixels)
    return Rays(rays_o.clone(), rays_d, torch.arange(count) % 3)


def sampled(
    device: torch.device, kernels: str, count: int, jitter: bool = False, capacity: int | None = None
) -> Samples:
    bodies = small.on(small.bodies(), device)
    shell = Shell.around(bodies.vertices, 0.1, 0.05)
    return ShellSampler(STEP, PER_BIN, kernels)(small.on(some_rays(count), device), bodies, shell, jitter, capacity)


def test_both_samplers_place_the_same_samples(device: torch.device):
    slow, fast = sampled(device, "torch", 150), sampled(device, "triton", 150)
    assert len(slow.t) > 300
    torch.testing.assert_close(fast.start.long(), slow.start)
    torch.testing.assert_close(fast.ray.long(), slow.ray)
    torch.testing.assert_close(fast.t, slow.t, atol=1e-5, rtol=0)
    torch.testing.assert_close(fast.delta, slow.delta)
    assert fast.complete.all() and fast.needed == slow.needed == len(slow.t)


@pytest.mark.parametrize("kernels", ["torch", "triton"])
def test_sample_positions_have_no_gradient(kernels: str, device: torch.device):
    bodies = small.on(small.bodies(), device)
    shell, rays = Shell.around(bodies.vertices, 0.1, 0.05), small.on(some_rays(20), device)
    bodies.world_from_posed.requires_grad_()
    samples = ShellSampler(STEP, PER_BIN, kernels)(rays, bodies, shell, jitter=True)
    assert len(samples.t) > 20 and not samples.t.requires_grad and not samples.delta.requires_grad


@pytest.mark.parametrize("bins", [(0, 2), (2, 100)])
def test_both_samplers_select_the_same_bins_of_the_same_rays(bins: tuple[int, int], device: torch.device):
    bodies = small.on(small.bodies(), device)
    shell, ray_mask = Shell.around(bodies.vertices, 0.1, 0.05), torch.arange(60, device=device) % 3 > 0
    rays = small.on(some_rays(60), device)
    slow, fast = (
        ShellSampler(STEP, PER_BIN, kernels)(rays, bodies, shell, False, ray_mask=ray_mask, bins=bins)
        for kernels in ("torch", "triton")
    )
    assert len(slow.t) > 50
    torch.testing.assert_close(fast.start.long(), slow.start)
    torch.testing.assert_close(fast.t, slow.t, atol=1e-5, rtol=0)


def test_jitter_stays_within_a_step(device: torch.device):
    middle, jittered = sampled(device, "triton", 40), sampled(device, "triton", 40, jitter=True)
    off = (jittered.t - middle.t) / STEP
    assert off.abs().max() <= 0.5 + 1e-3 and off.std() > 0.2


def test_rays_beyond_the_capacity_are_not_complete(device: torch.device):
    all_of_it = sampled(device, "triton", 60)
    capacity = int(all_of_it.start[30]) + 1
    short = sampled(device, "triton", 60, capacity=capacity)
    assert len(short.t) == capacity and short.needed == len(all_of_it.t)
    fits = all_of_it.start[1:] <= capacity
    torch.testing.assert_close(short.complete, fits)
    assert (short.start <= capacity).all()
    torch.testing.assert_close(short.t[: int(all_of_it.start[30])], all_of_it.t[: int(all_of_it.start[30])])
    ample = sampled(device, "triton", 60, capacity=len(all_of_it.t) + 100)
    assert ample.complete.all() and (ample.t[len(all_of_it.t) :] == 0).all()
    with pytest.raises(UserError, match="use step=eager"):
        sampled(device, "torch", 5, capacity=100)


@pytest.mark.parametrize("scale", [1e-4, 3.0, 300.0])
def test_kernel_and_torch_composite_the_same(scale: float, device: torch.device):
    generator = torch.Generator().manual_seed(0)
    count = torch.tensor([0, 5, 1, 0, 70, 3])
    start = torch.nn.functional.pad(count.cumsum(0), (1, 0))
    total = int(start[-1])
    t = torch.cat([torch.rand(int(n), generator=generator).cumsum(0) for n in count])
    samples = Samples(
        torch.arange(6).repeat_interleave(count), t, torch.rand(total, generator=generator),
        start, torch.ones(6, dtype=torch.bool), start[-1:],
    )  # fmt: skip
    samples, results = small.on(samples, device), []
    for kernels in ("torch", "triton"):
        generator = torch.Generator().manual_seed(2)
        color = torch.rand(total, 3, generator=generator).to(device).requires_grad_()
        density = (scale * torch.rand(total, generator=generator)).to(device).requires_grad_()
        seen = composite(color, density, samples, kernels)
        outputs = (seen.color, seen.alpha, seen.depth, seen.weights)
        loss = sum((torch.rand(x.shape, generator=generator).to(device) * x).sum() for x in outputs)
        loss.backward()
        results.append((*outputs, color.grad, density.grad * scale))
    for slow, fast in zip(*results):
        torch.testing.assert_close(fast, slow, atol=1e-4, rtol=2e-4)  # the gradient is a difference of sums
