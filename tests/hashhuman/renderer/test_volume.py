"""Alpha compositing against a loop in float64, values and gradients."""

import math

import torch

from hashhuman.renderer.volume import Rays, Samples, composite


def some_samples(n: int = 6, s: int = 9):
    """Colours, densities and samples; the third ray misses, the fourth ends in something opaque."""
    generator = torch.Generator().manual_seed(0)
    t = (torch.rand(n, s, generator=generator) + 1).cumsum(1)
    delta = torch.rand(n, s, generator=generator)
    valid = torch.ones(n, s, dtype=torch.bool)
    valid[2] = False
    color, density = torch.rand(n, s, 3, generator=generator), 3 * torch.rand(n, s, generator=generator)
    density[3, 4] = 1e7
    return color, density, Samples(t, delta, valid)


def loop(color, density, samples: Samples):
    """Front to back, one sample at a time; colour, alpha, depth and weights of each ray."""
    rays = []
    for i in range(len(color)):
        through, seen, alpha, depth, weights = 1.0, torch.zeros(3), 0.0, 0.0, []
        for k in range(color.shape[1]):
            opacity = 1 - torch.exp(-density[i, k] * samples.delta[i, k]) if samples.valid[i, k] else 0 * density[i, k]
            weight = through * opacity
            seen, alpha, depth = seen + weight * color[i, k], alpha + weight, depth + weight * samples.t[i, k]
            weights.append(weight)
            through = through * (1 - opacity)
        rays.append((seen, alpha, depth, torch.stack(weights)))
    return [torch.stack(x) for x in zip(*rays)]


def test_against_a_loop():
    color, density, samples = some_samples()
    rendering = composite(color, density, samples)
    double = Samples(samples.t.double(), samples.delta.double(), samples.valid)
    expected = loop(color.double(), density.double(), double)
    for mine, theirs in zip((rendering.color, rendering.alpha, rendering.depth, rendering.weights), expected):
        torch.testing.assert_close(mine.double(), theirs, atol=1e-5, rtol=1e-5)
    assert rendering.alpha[2] == 0 and rendering.alpha[3] > 1 - 1e-6 and (rendering.weights[3, 5:] == 0).all()


def test_gradients_against_the_loops():
    color, density, samples = some_samples()
    samples = Samples(samples.t.double(), samples.delta.double(), samples.valid)
    gradients = []
    for render in (lambda c, d: composite(c, d, samples), lambda c, d: loop(c, d, samples)):
        c, d = color.double().requires_grad_(), density.double().requires_grad_()
        out = render(c, d)
        out = out if isinstance(out, list) else [out.color, out.alpha, out.depth, out.weights]
        total = sum((x * torch.arange(1, x.numel() + 1).view(x.shape)).sum() for x in out)
        gradients.append(torch.autograd.grad(total, (c, d)))
    for mine, theirs in zip(*gradients):
        torch.testing.assert_close(mine, theirs)


def test_by_hand():
    # Two samples of half opacity (density ln 2 over 1 m), red before green, a metre apart.
    samples = Samples(torch.tensor([[1.0, 2.0]]), torch.ones(1, 2), torch.ones(1, 2, dtype=torch.bool))
    rendering = composite(torch.eye(3)[None, :2], torch.full((1, 2), math.log(2)), samples)
    torch.testing.assert_close(rendering.weights, torch.tensor([[0.5, 0.25]]))
    torch.testing.assert_close(rendering.color, torch.tensor([[0.5, 0.25, 0.0]]))
    torch.testing.assert_close(rendering.alpha, torch.tensor([0.75]))
    torch.testing.assert_close(rendering.depth, torch.tensor([1.0]))


def test_thin_fog_is_not_lost_to_rounding():
    samples = Samples(torch.ones(1, 1), torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool))
    rendering = composite(torch.ones(1, 1, 3), torch.full((1, 1), 1e-9), samples)
    torch.testing.assert_close(rendering.alpha, torch.tensor([1e-9]), atol=0, rtol=1e-6)


def test_rows_of_rays_and_samples():
    rays = Rays(torch.randn(4, 3), torch.randn(4, 3), torch.arange(4))
    assert len(rays) == 4 and len(rays[1:3]) == 2 and rays[torch.tensor([3, 0])].frames.tolist() == [3, 0]
    _, _, samples = some_samples()
    chosen = samples[torch.tensor([3, 0])]
    assert torch.equal(chosen.t, samples.t[[3, 0]]) and torch.equal(chosen.valid, samples.valid[[3, 0]])
