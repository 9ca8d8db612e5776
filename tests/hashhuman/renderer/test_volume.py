"""Alpha compositing against a loop in float64, values and gradients."""

import dataclasses
import math

import torch

from hashhuman.renderer.volume import Samples, before, composite

COUNT = torch.tensor([9, 4, 0, 9, 1, 0])


def packed(count: torch.Tensor, t: torch.Tensor, delta: torch.Tensor) -> Samples:
    """Samples of rays with these numbers of samples."""
    start = torch.nn.functional.pad(count.cumsum(0), (1, 0))
    ray = torch.arange(len(count)).repeat_interleave(count)
    return Samples(ray, t, delta, start, torch.ones(len(count), dtype=torch.bool), start[-1:])


def some_samples():
    """Colours, densities and samples. Two rays have no samples; the fourth one ends at an opaque sample."""
    generator, total = torch.Generator().manual_seed(0), int(COUNT.sum())
    t = torch.cat([(torch.rand(int(n), generator=generator) + 1).cumsum(0) for n in COUNT])
    delta = torch.rand(total, generator=generator)
    color, density = torch.rand(total, 3, generator=generator), 3 * torch.rand(total, generator=generator)
    density[int(COUNT[:3].sum()) + 4] = 1e7
    return color, density, packed(COUNT, t, delta)


def in_double(samples: Samples) -> Samples:
    return dataclasses.replace(samples, t=samples.t.double(), delta=samples.delta.double())


def loop(color, density, samples: Samples):
    """Front to back, one sample at a time; colour, alpha, depth of each ray, and the weights of all samples."""
    rays, weights = [], []
    for first, end in zip(samples.start[:-1], samples.start[1:]):
        through, seen, alpha, depth = color.new_ones(()), color.new_zeros(3), color.new_zeros(()), color.new_zeros(())
        for k in range(first, end):
            opacity = 1 - torch.exp(-density[k] * samples.delta[k])
            weight = through * opacity
            seen, alpha, depth = seen + weight * color[k], alpha + weight, depth + weight * samples.t[k]
            weights.append(weight)
            through = through * (1 - opacity)
        rays.append((seen, alpha, depth))
    return [*(torch.stack(x) for x in zip(*rays)), torch.stack(weights)]


def test_against_a_loop():
    color, density, samples = some_samples()
    rendering = composite(color, density, samples, "torch")
    expected = loop(color.double(), density.double(), in_double(samples))
    for mine, theirs in zip((rendering.color, rendering.alpha, rendering.depth, rendering.weights), expected):
        torch.testing.assert_close(mine.double(), theirs, atol=1e-5, rtol=1e-5)
    opaque = samples.ray == 3
    assert rendering.alpha[3] > 1 - 1e-6 and (rendering.weights[opaque][5:] == 0).all()
    for empty in (2, 5):
        assert rendering.alpha[empty] == rendering.depth[empty] == 0 and (rendering.color[empty] == 0).all()


def test_gradients_against_a_loop():
    color, density, samples = some_samples()
    samples = in_double(samples)
    gradients = []
    for render in (lambda c, d: composite(c, d, samples, "torch"), lambda c, d: loop(c, d, samples)):
        c, d = color.double().requires_grad_(), density.double().requires_grad_()
        out = render(c, d)
        out = out if isinstance(out, list) else [out.color, out.alpha, out.depth, out.weights]
        total = sum((x * torch.arange(1, x.numel() + 1).view(x.shape)).sum() for x in out)
        gradients.append(torch.autograd.grad(total, (c, d)))
    for mine, theirs in zip(*gradients):
        torch.testing.assert_close(mine, theirs)


def test_by_hand():
    # Two samples of half opacity (density ln 2 over 1 m), red before green, a metre apart.
    samples = packed(torch.tensor([2]), torch.tensor([1.0, 2.0]), torch.ones(2))
    rendering = composite(torch.eye(3)[:2], torch.full((2,), math.log(2)), samples, "torch")
    torch.testing.assert_close(rendering.weights, torch.tensor([0.5, 0.25]))
    torch.testing.assert_close(rendering.color, torch.tensor([[0.5, 0.25, 0.0]]))
    torch.testing.assert_close(rendering.alpha, torch.tensor([0.75]))
    torch.testing.assert_close(rendering.depth, torch.tensor([1.0]))


def test_thin_fog_survives_rounding():
    """Even after many rays of thick fog, since sums over all samples are subtracted in double precision."""
    count = torch.tensor([20000, 1])
    samples = packed(count, torch.ones(20001), torch.ones(20001))
    density = torch.full((20001,), 3.0)
    density[-1] = 1e-9
    rendering = composite(torch.ones(20001, 3), density, samples, "torch")
    torch.testing.assert_close(rendering.alpha[1:], torch.tensor([1e-9]), atol=0, rtol=1e-6)
    torch.testing.assert_close(rendering.alpha[:1], torch.ones(1))


def test_sums_before_each_sample():
    samples = packed(torch.tensor([3, 0, 2]), torch.zeros(5), torch.zeros(5))
    found = before(torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0]), samples)
    assert found.tolist() == [0.0, 1.0, 3.0, 0.0, 8.0]


def test_no_samples_at_all():
    rendering = composite(torch.zeros(0, 3), torch.zeros(0), packed(torch.zeros(4).long(), *torch.zeros(2, 0)), "torch")
    assert (rendering.alpha == 0).all() and rendering.color.shape == (4, 3)


def test_some_samples_of_some_rays():
    _, _, samples = some_samples()
    rays = torch.tensor([3, 1, 2, 4])
    some = samples.of(rays, 1, 4)
    expected = [range(14, 18), range(10, 13), range(0), range(0)]  # rays have 9, 4, 0, 9, 1 and 0 samples
    assert some.start.diff().tolist() == [len(places) for places in expected]
    assert some.ray.tolist() == [0] * 4 + [1] * 3
    places = torch.tensor([place for group in expected for place in group])
    assert torch.equal(some.t, samples.t[places]) and torch.equal(some.delta, samples.delta[places])
