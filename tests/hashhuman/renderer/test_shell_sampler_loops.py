"""The sampler's loops against plain PyTorch."""

import pytest
import torch

from hashhuman.renderer.shell import Shell
from hashhuman.renderer.shell_sampler import ALL_BINS, ShellSampler
from hashhuman.renderer.volume import Samples
from tests.hashhuman import small
from tests.hashhuman.renderer.test_kernels import PER_BIN, STEP, some_rays

COUNT = 700  # enough for two threads


def sampled(kernels: str, jitter: bool = False, ray_mask=None, bins: tuple[int, int] = ALL_BINS) -> Samples:
    bodies = small.bodies()
    shell = Shell.around(bodies.vertices, 0.1, 0.05)
    torch.manual_seed(5)
    sampler = ShellSampler(STEP, PER_BIN, kernels)
    return sampler(some_rays(COUNT), bodies, shell, jitter, ray_mask=ray_mask, bins=bins)


@pytest.mark.parametrize("jitter", [False, True])
@pytest.mark.parametrize("bins", [ALL_BINS, (0, 2), (2, 100)])
@pytest.mark.parametrize("only_some", [False, True])
def test_the_same_samples(jitter: bool, bins: tuple[int, int], only_some: bool):
    ray_mask = torch.arange(COUNT) % 3 > 0 if only_some else None
    slow, fast = (sampled(kernels, jitter, ray_mask, bins) for kernels in ("torch", "numba"))
    assert len(slow.t) > 300
    torch.testing.assert_close(fast.start, slow.start)
    torch.testing.assert_close(fast.ray, slow.ray)
    torch.testing.assert_close(fast.t, slow.t, atol=1e-5, rtol=0)  # with jitter, the same random numbers
    torch.testing.assert_close(fast.delta, slow.delta)
    torch.testing.assert_close(fast.needed, slow.needed)
    assert fast.complete.all()


def test_rays_that_meet_nothing():
    nothing = sampled("numba", ray_mask=torch.zeros(COUNT, dtype=torch.bool))
    assert len(nothing.t) == 0 and (nothing.start == 0).all()
