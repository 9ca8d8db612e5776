"""The terms of the objective, each against its definition."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from hashhuman.avatar.prediction import Prediction
from hashhuman.data.batch import RayBatch
from hashhuman.deformer.residual import Residual
from hashhuman.errors import UserError
from hashhuman.geometry.rays import Rays
from hashhuman.pose.table import PosedTable
from hashhuman.renderer.volume import Rendering, Samples, composite
from hashhuman.training import losses

GENERATOR = torch.Generator()


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=GENERATOR)


def make(n: int = 18, patch=None, residual=None, incomplete: tuple[int, ...] = ()) -> Prediction:
    """A rendering of random samples, up to seven for each ray, and a batch with different colours."""
    GENERATOR.manual_seed(0)
    counts = [5 * i % 8 for i in range(n)]
    complete = torch.ones(n, dtype=torch.bool)
    complete[list(incomplete)] = False
    m = sum(counts)
    samples = Samples(
        ray=torch.arange(n).repeat_interleave(torch.tensor(counts)),
        t=torch.cat([(rand(count) + 0.1).cumsum(0) for count in counts]),
        delta=rand(m),
        start=torch.tensor([0, *np.cumsum(counts)]),
        complete=complete,
        needed=torch.tensor([m]),
    )
    rendering = composite(rand(m, 3), 2 * rand(m), samples, "torch")
    rays = Rays(rand(n, 3), rand(n, 3), torch.zeros(n, dtype=torch.long))
    batch = RayBatch(rays, rand(n, 3), rand(n), rand(n, 3), patch)
    return Prediction(batch, rendering, residual=residual)


def test_colour_and_mask():
    prediction = make()
    batch = prediction.batch
    alpha = prediction.rendering.alpha.numpy()
    shown = prediction.rendering.color.numpy() + (1 - alpha[:, None]) * batch.background.numpy()
    assert losses.ColorLoss(1.0)(prediction).item() == pytest.approx(np.mean((shown - batch.color.numpy()) ** 2))
    assert losses.MaskLoss(1.0)(prediction).item() == pytest.approx(np.mean((alpha - batch.mask.numpy()) ** 2))


def test_sparsity_penalises_haze_beside_the_person():
    prediction = make()
    batch = prediction.batch
    batch.mask[::3] = 0
    alpha = prediction.rendering.alpha.numpy()
    assert losses.SparsityLoss(1.0)(prediction).item() == pytest.approx(alpha[::3].sum() / 18)
    assert alpha[::3].sum() > 1


def test_incomplete_rays_do_not_count():
    """Their rendering is unfinished, so the mean is that of the other rays."""
    whole = make()
    batch, prediction = whole.batch, make(incomplete=(2, 11))
    kept = np.delete(np.arange(18), (2, 11))
    error = (whole.rendering.alpha - batch.mask).square().numpy()
    assert losses.MaskLoss(1.0)(prediction).item() == pytest.approx(error[kept].mean())
    error = (losses.over_background(whole) - batch.color).square().numpy()
    assert losses.ColorLoss(1.0)(prediction).item() == pytest.approx(error[kept].mean())
    nobody = make(incomplete=tuple(range(18)))
    assert losses.ColorLoss(1.0)(nobody).item() == 0


def each_ray(prediction: Prediction) -> list[slice]:
    """Each ray's samples."""
    start = prediction.rendering.samples.start.tolist()
    return [slice(a, b) for a, b in itertools.pairwise(start)]


def test_distortion_is_the_papers_double_sum():
    prediction = make()
    samples, weights = prediction.rendering.samples, prediction.rendering.weights.double().numpy()
    total = 0.0
    for mine in each_ray(prediction):
        w, t, delta = weights[mine], samples.t.double().numpy()[mine], samples.delta.double().numpy()[mine]
        total += sum(w[a] * w[b] * abs(t[a] - t[b]) for a in range(len(w)) for b in range(len(w)))
        total += sum(w**2 * delta) / 3
    assert losses.DistortionLoss(1.0)(prediction).item() == pytest.approx(total / 18, rel=1e-5)


def test_gradient_of_the_distortion():
    prediction = make()
    samples = prediction.rendering.samples
    w = prediction.rendering.weights.clone().requires_grad_()
    rendering = Rendering(torch.zeros(18, 3), torch.zeros(18), torch.zeros(18), w, samples)
    loss = losses.DistortionLoss(1.0)(dataclasses.replace(prediction, rendering=rendering))
    apart = torch.block_diag(*[(samples.t[mine, None] - samples.t[mine]).abs() for mine in each_ray(prediction)])
    expected = (w @ apart @ w + (w**2 * samples.delta).sum() / 3) / 18
    torch.testing.assert_close(*(torch.autograd.grad(value, w)[0] for value in (loss, expected)))


def test_unused_samples_do_not_distort():
    """With a fixed capacity, unused samples follow the last ray; their weight is zero."""
    prediction = make()
    samples, weights = prediction.rendering.samples, prediction.rendering.weights
    spare = torch.zeros(5)
    longer = dataclasses.replace(
        samples,
        ray=torch.cat([samples.ray, spare.long()]),
        t=torch.cat([samples.t, spare]),
        delta=torch.cat([samples.delta, spare + 0.1]),
    )
    rendering = dataclasses.replace(prediction.rendering, weights=torch.cat([weights, spare]), samples=longer)
    loss = losses.DistortionLoss(1.0)
    torch.testing.assert_close(loss(dataclasses.replace(prediction, rendering=rendering)), loss(prediction))


def test_residual_terms():
    value = torch.tensor([[0.3, 0.4, 0.0], [0.0, 0.0, 0.1], [9.0, 9.0, 9.0]])
    nearby = torch.tensor([[0.3, 0.4, 0.2], [0.0, 0.0, 0.1], [0.0, 0.0, 0.0]])
    prediction = make(residual=Residual(value, nearby, torch.tensor([True, True, False])))
    assert losses.ResidualSizeLoss(1.0)(prediction).item() == pytest.approx(0.3)
    assert losses.ResidualSmoothnessLoss(1.0)(prediction).item() == pytest.approx(0.1)


def test_residual_terms_are_zero_without_a_residual():
    nothing = Residual(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0, dtype=torch.bool))
    for prediction in (make(), make(residual=nothing)):
        for loss in (losses.ResidualSizeLoss(1.0), losses.ResidualSmoothnessLoss(1.0)):
            assert loss(prediction).item() == 0


def test_a_zero_residual_has_a_finite_gradient():
    """Training starts from displacements that are exactly zero."""
    value = torch.zeros(5, 3, requires_grad=True)
    prediction = make(residual=Residual(value, value * 2, torch.ones(5, dtype=torch.bool)))
    total = losses.ResidualSizeLoss(1.0)(prediction) + losses.ResidualSmoothnessLoss(1.0)(prediction)
    total.backward()
    assert value.grad.isfinite().all()


class Distance(nn.Module):
    """Keeps its input pictures."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One value for each pair."""
        self.seen = x, y
        return (x - y).abs().mean((1, 2, 3))


@pytest.mark.parametrize("data_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_patches(data_range: tuple[float, float]):
    prediction = make(patch=(2, 2, 4))  # the last two rays are in none
    batch = prediction.batch
    loss = losses.PatchLoss(1.0, Distance(), data_range)
    value = loss(prediction)
    x, y = loss.distance.seen
    assert x.shape == y.shape == (2, 3, 2, 4)
    shown = losses.over_background(prediction)
    low, high = data_range
    for picture, row, column in np.ndindex(2, 2, 4):
        ray = 8 * picture + 4 * row + column
        torch.testing.assert_close(x[picture, :, row, column], shown[ray] * (high - low) + low)
        torch.testing.assert_close(y[picture, :, row, column], batch.color[ray] * (high - low) + low)
    assert value.item() == pytest.approx((high - low) * (shown[:16] - batch.color[:16]).abs().mean().item())


def test_a_batch_without_patches_is_refused():
    prediction = make()
    with pytest.raises(UserError, match=r"data\.ray_sampler\.n_patches=1"):
        losses.PatchLoss(1.0, Distance(), (0.0, 1.0))(prediction)


def test_patches_that_a_distance_cannot_compare_are_refused_before_training():
    loss = losses.PatchLoss(1.0, Distance(), (0.0, 1.0))
    loss.check_patches(1, 4)
    losses.ColorLoss(1.0).check_patches(0, 4)
    with pytest.raises(UserError, match=r"data\.ray_sampler\.n_patches=1"):
        loss.check_patches(0, 4)
    loss.distance.smallest = 31
    with pytest.raises(UserError, match=r"data\.ray_sampler\.patch_size=31"):
        loss.check_patches(1, 16)


def test_the_sum_skips_terms_without_weight():
    prediction = make()
    terms = {
        "color": losses.ColorLoss(2.0),
        "mask": losses.MaskLoss(0.5),
        "patches": losses.PatchLoss(0.0, Distance(), (0.0, 1.0)),  # would raise: there are none
    }
    total, each = losses.weighted_sum(terms, prediction)
    assert set(each) == {"color", "mask"}
    torch.testing.assert_close(each["color"], losses.ColorLoss(1.0)(prediction))
    torch.testing.assert_close(total, 2 * each["color"] + 0.5 * each["mask"])


def test_a_term_that_is_computed_every_third_step_counts_three_times():
    prediction = make()
    terms = {"color": losses.ColorLoss(2.0), "mask": losses.MaskLoss(0.5, every=3)}
    total, each = losses.weighted_sum(terms, prediction)
    torch.testing.assert_close(total, 2 * each["color"] + 1.5 * each["mask"])
    assert [terms["mask"].due(step) for step in range(1, 7)] == [False, False, True] * 2


class Misspelt(losses.ColorLoss):
    needs = "ray"  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({}, "The first steps would have no loss"),
        ({"color": losses.ColorLoss(0.0)}, "The first steps would have no loss"),
        ({"color": losses.ColorLoss(1.0, 0.5), "mask": losses.MaskLoss(0.0)}, "The first steps would have no loss"),
        ({"color": losses.ColorLoss(1.0, every=2)}, "The first steps would have no loss.*every=1"),
        ({"color": losses.ColorLoss(1.0), "own": Misspelt(1.0)}, "loss.own needs 'ray'.*weights, poses, rays"),
    ],
)
def test_losses_that_cannot_train_are_refused_before_training(terms: dict[str, losses.Loss], said: str):
    losses.check_losses({"color": losses.ColorLoss(1.0), "late": losses.MaskLoss(1.0, 0.5)})
    with pytest.raises(UserError, match=said):
        losses.check_losses(terms)


def posed(transl: list[float], times: list[float]) -> PosedTable:
    """Two joints half a metre apart, in frames whose bodies move along x and do not turn."""
    count = len(times)
    chain = torch.eye(3, 4).repeat(count, 2, 1, 1)
    chain[:, 1, 1, 3] = 0.5
    world = torch.eye(4).repeat(count, 1, 1)
    world[:, 0, 3] = torch.tensor(transl)
    return PosedTable(
        torch.zeros(count, 2, 3), torch.zeros(count, 3), chain, world, torch.tensor(times), torch.ones(count - 2, 2)
    )


def test_accelerations_of_the_joints_by_hand():
    """The times are 0, 1, 3 and 4. In x = t^2 the acceleration is 2 everywhere, for both joints."""
    moved = dataclasses.replace(make(), poses=posed([0.0, 1.0, 9.0, 16.0], [0.0, 1.0, 3.0, 4.0]))
    assert losses.PoseSmoothnessLoss(1.0, 0.1)(moved).item() == pytest.approx(4.0)
    steady = dataclasses.replace(make(), poses=posed([0.0, 1.0, 3.0, 4.0], [0.0, 1.0, 3.0, 4.0]))
    assert losses.PoseSmoothnessLoss(1.0, 0.1)(steady).item() == pytest.approx(0.0, abs=1e-9)


def test_accelerations_count_as_far_as_they_are_no_motion():
    poses = posed([0.0, 1.0, 9.0, 16.0], [0.0, 1.0, 3.0, 4.0])
    moved = dataclasses.replace(
        make(), poses=dataclasses.replace(poses, steady=torch.tensor([[0.5, 0.0], [0.0, 0.25]]))
    )
    assert losses.PoseSmoothnessLoss(1.0, 0.1)(moved).item() == pytest.approx(4 * 0.75 / 4)


def test_turning_accelerates_the_ends_of_the_lever():
    """One of three frames is turned about x by an angle: two axes of two joints, and the second joint's position."""
    poses, angle = posed([0.0] * 3, [0.0, 1.0, 2.0]), 0.3
    cosine, sine = np.cos(angle), np.sin(angle)
    poses.world_from_posed[1, 1:3, 1:3] = torch.tensor([[cosine, -sine], [sine, cosine]])
    expected = 4 * (2 * 2 * 0.1**2 + 0.5**2) * ((1 - cosine) ** 2 + sine**2) / 2  # the mean over two joints
    found = losses.PoseSmoothnessLoss(1.0, 0.1)(dataclasses.replace(make(), poses=poses)).item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_distance_from_the_fit_by_hand():
    poses = posed([0.0, 0.0], [0.0, 1.0])
    poses.rotation[1, 0] = torch.tensor([0.3, 0.0, 0.4])
    poses.transl[0, 2] = 0.2
    prediction = dataclasses.replace(make(), poses=poses)
    assert losses.PoseDistanceLoss(1.0, 3.0)(prediction).item() == pytest.approx(0.25 / 4 + 3 * 0.04 / 2)


def test_pose_terms_are_zero_with_fixed_poses():
    for loss in (losses.PoseSmoothnessLoss(1.0, 0.1), losses.PoseDistanceLoss(1.0, 1.0)):
        assert loss(make()).item() == 0
    two = dataclasses.replace(make(), poses=posed([0.0, 1.0], [0.0, 1.0]))
    assert losses.PoseSmoothnessLoss(1.0, 0.1)(two).item() == 0  # two frames have no acceleration
