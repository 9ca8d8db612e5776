"""The terms of the objective, each against its definition."""

import numpy as np
import pytest
import torch
from torch import nn

from hashhuman import losses
from hashhuman.data.batch import RayBatch
from hashhuman.deformer.residual import Residual
from hashhuman.errors import UserError
from hashhuman.losses import Prediction
from hashhuman.renderer.volume import Rays, Rendering, Samples, composite


def make(n: int = 18, s: int = 7, patch=None, residual=None) -> tuple[Prediction, RayBatch]:
    """A rendering of random samples, and a batch that it misses."""
    generator = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    samples = Samples((rand(n, s) + 0.1).cumsum(1), rand(n, s), torch.ones(n, s, dtype=torch.bool))
    rendering = composite(rand(n, s, 3), 2 * rand(n, s), samples)
    rays = Rays(rand(n, 3), rand(n, 3), torch.zeros(n, dtype=torch.long))
    return Prediction(rendering, residual), RayBatch(rays, rand(n, 3), rand(n), rand(n, 3), patch)


def test_colour_and_mask():
    prediction, batch = make()
    alpha = prediction.rendering.alpha.numpy()
    shown = prediction.rendering.color.numpy() + (1 - alpha[:, None]) * batch.background.numpy()
    assert losses.ColorLoss(1.0)(prediction, batch).item() == pytest.approx(np.mean((shown - batch.color.numpy()) ** 2))
    assert losses.MaskLoss(1.0)(prediction, batch).item() == pytest.approx(np.mean((alpha - batch.mask.numpy()) ** 2))


def test_distortion_is_the_papers_double_sum():
    prediction, batch = make()
    w, t = prediction.rendering.weights.double().numpy(), prediction.rendering.samples.t.double().numpy()
    delta = prediction.rendering.samples.delta.double().numpy()
    rays = []
    for i in range(len(w)):
        total = sum(w[i, a] * w[i, b] * abs(t[i, a] - t[i, b]) for a in range(7) for b in range(7))
        rays.append(total + sum(w[i, a] ** 2 * delta[i, a] for a in range(7)) / 3)
    assert losses.DistortionLoss(1.0)(prediction, batch).item() == pytest.approx(np.mean(rays), rel=1e-5)


def test_gradient_of_the_distortion():
    prediction, batch = make(4)
    samples = prediction.rendering.samples
    gradients = []
    for _ in range(2):
        w = prediction.rendering.weights.clone().requires_grad_()
        if not gradients:
            rendering = Rendering(torch.zeros(4, 3), torch.zeros(4), torch.zeros(4), w, samples)
            loss = losses.DistortionLoss(1.0)(Prediction(rendering, None), batch)
        else:
            apart = (samples.t[:, :, None] - samples.t[:, None]).abs()
            loss = ((w[:, :, None] * w[:, None] * apart).sum((1, 2)) + (w**2 * samples.delta).sum(1) / 3).mean()
        gradients.append(torch.autograd.grad(loss, w)[0])
    torch.testing.assert_close(*gradients)


def test_residual_terms():
    value = torch.tensor([[0.3, 0.4, 0.0], [0.0, 0.0, 0.1], [9.0, 9.0, 9.0]])
    nearby = torch.tensor([[0.3, 0.4, 0.2], [0.0, 0.0, 0.1], [0.0, 0.0, 0.0]])
    prediction, batch = make(residual=Residual(value, nearby, torch.tensor([True, True, False])))
    assert losses.ResidualSizeLoss(1.0)(prediction, batch).item() == pytest.approx(0.3)
    assert losses.ResidualSmoothnessLoss(1.0)(prediction, batch).item() == pytest.approx(0.1)


def test_no_residual_costs_nothing():
    nothing = Residual(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0, dtype=torch.bool))
    for prediction, batch in (make(), make(residual=nothing)):
        for loss in (losses.ResidualSizeLoss(1.0), losses.ResidualSmoothnessLoss(1.0)):
            assert loss(prediction, batch).item() == 0


def test_a_resting_residual_has_a_finite_gradient():
    """Training starts from displacements that are exactly zero."""
    value = torch.zeros(5, 3, requires_grad=True)
    prediction, batch = make(residual=Residual(value, value * 2, torch.ones(5, dtype=torch.bool)))
    total = losses.ResidualSizeLoss(1.0)(prediction, batch) + losses.ResidualSmoothnessLoss(1.0)(prediction, batch)
    total.backward()
    assert value.grad.isfinite().all()


class Distance(nn.Module):
    """Remembers the pictures that it is shown."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One value for each pair."""
        self.seen = x, y
        return (x - y).abs().mean((1, 2, 3))


@pytest.mark.parametrize("data_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_patches(data_range: tuple[float, float]):
    prediction, batch = make(patch=(2, 2, 4))  # the last two rays are in none
    loss = losses.PatchLoss(1.0, Distance(), data_range)
    value = loss(prediction, batch)
    x, y = loss.distance.seen
    assert x.shape == y.shape == (2, 3, 2, 4)
    shown = losses.over_background(prediction.rendering, batch)
    low, high = data_range
    for picture, row, column in np.ndindex(2, 2, 4):
        ray = 8 * picture + 4 * row + column
        torch.testing.assert_close(x[picture, :, row, column], shown[ray] * (high - low) + low)
        torch.testing.assert_close(y[picture, :, row, column], batch.color[ray] * (high - low) + low)
    assert value.item() == pytest.approx((high - low) * (shown[:16] - batch.color[:16]).abs().mean().item())


def test_patches_must_be_asked_for():
    prediction, batch = make()
    with pytest.raises(UserError, match=r"data\.ray_sampler\.n_patches=1"):
        losses.PatchLoss(1.0, Distance(), (0.0, 1.0))(prediction, batch)


def test_the_sum_weighs_its_terms_and_leaves_out_those_of_no_weight():
    prediction, batch = make()
    terms = {
        "color": losses.ColorLoss(2.0),
        "mask": losses.MaskLoss(0.5),
        "patches": losses.PatchLoss(0.0, Distance(), (0.0, 1.0)),  # would raise: there are none
    }
    total, each = losses.weighted_sum(terms, prediction, batch)
    assert set(each) == {"color", "mask"}
    torch.testing.assert_close(each["color"], losses.ColorLoss(1.0)(prediction, batch))
    torch.testing.assert_close(total, 2 * each["color"] + 0.5 * each["mask"])
