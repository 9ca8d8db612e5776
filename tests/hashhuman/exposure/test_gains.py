"""Gains of training pictures."""

import dataclasses
import functools
import math

import pytest
import torch

from hashhuman.data.batch import RayBatch
from hashhuman.data.pixels import PixelStore
from hashhuman.data.ray_sampler import RaySampler
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.exposure.gains import Exposure, FixedExposure, LearnedExposure
from hashhuman.training import losses
from hashhuman.training.lit_module import HumanModule
from hashhuman.training.step.eager import EagerStep, StepResult
from hashhuman.training.step.graph import GraphStep
from tests import toy
from tests.hashhuman import small
from tests.hashhuman.data.test_pixels import training_picture

TRUE = torch.tensor([[1.0, 0.9, 0.6], [0.7, 0.8, 1.0], [0.5, 1.0, 0.9]])


def module(exposure: Exposure, kernels: str = "torch") -> HumanModule:
    """The small avatar with gains. Its codes of single frames are held, since they would explain brightness, too."""
    avatar = small.avatar(reach=0.2, kernels=kernels)
    for parameter in avatar.field.conditions.parameters():
        parameter.requires_grad_(False)
    terms = {"color": losses.ColorLoss(1.0), "mask": losses.MaskLoss(0.1), "exposure": losses.ExposureLoss(1e-5)}
    optimizer = functools.partial(torch.optim.Adam, lr=0.02, betas=(0.9, 0.99), eps=1e-15)
    return HumanModule(avatar, terms, optimizer, lambda step, stretch=1: 1.0, EagerStep, 1, exposure)


@pytest.fixture(scope="module")
def store(toy_folder) -> PixelStore:
    """Three pictures of one camera, each taken with gains of its own."""
    subject = Subject(toy_folder)
    pictures = [training_picture(subject, p) for p in subject.pictures if p.frame < 3 and p.camera == 0]
    dimmed = [
        dataclasses.replace(picture, color=(picture.color * gain.numpy()).round().astype("uint8"))
        for picture, gain in zip(pictures, TRUE)
    ]
    return PixelStore.build(dimmed, 0.2, "cpu")


def learned(store: PixelStore, step: type, kernels: str) -> LearnedExposure:
    """Gains that were learned with an avatar, from the start."""
    torch.manual_seed(0)
    human = module(LearnedExposure(3, lr=0.03, warmup_steps=1), kernels).to(store.color.device)
    human.scene = human.avatar.prepare([toy.pose(frame) for frame in range(3)])
    sampler = RaySampler(128, {"body": 0.8, "surround": 0.2}, 0, 8, "random")
    groups = [*human.avatar.parameter_groups(), *human.exposure.parameter_groups()]
    groups = [{name: value for name, value in group.items() if name != "factor"} for group in groups]

    def objective(ray_factor: float = 1.0, capacity=None):
        prediction = human.exposed(human.avatar.predict(sampler.draw(store, ray_factor), human.scene, capacity))
        return StepResult(*losses.weighted_sum(dict(human.losses), prediction), prediction.needs)

    take = step(objective, human.make_optimizer(groups))
    for index in range(70):
        take()
        human.scene, changed = human.avatar.after_step(human.scene, index + 1)
        if changed:
            take.invalidate()
    return human.exposure


def centred(gains: torch.Tensor) -> torch.Tensor:
    return gains.log() - gains.log().mean(0)


def test_known_gains_are_recovered(store: PixelStore):
    """Up to a common one, which belongs to the avatar; what the light does to bodies that turn is left."""
    found = learned(store, EagerStep, "torch").log_gains().detach()
    assert (found - centred(TRUE)).abs().max() < 0.1 and centred(TRUE).abs().max() > 0.3


@pytest.mark.gpu
def test_captured_steps_recover_known_gains(store: PixelStore):
    found = learned(small.on(store, torch.device("cuda")), GraphStep, "triton").log_gains().detach().cpu()
    assert (found - centred(TRUE)).abs().max() < 0.15  # other random rays; on a CPU, seeds differ by 0.07 to 0.09


def test_the_gain_is_the_persons_alone(store: PixelStore):
    """alpha person gain + (1 - alpha) background, computed by hand."""
    human = module(LearnedExposure(3, 0.01, 1))
    with torch.no_grad():
        human.exposure.raw.copy_(TRUE.log())
    batch = RaySampler(40, {"body": 0.5, "surround": 0.5}, 1, 4, "random").draw(store)
    prediction = human.avatar.predict(batch, human.avatar.prepare([toy.pose(frame) for frame in range(3)]))
    exposed, pictures = human.exposed(prediction), batch.pictures
    assert pictures is not None and torch.equal(pictures, batch.rays.frames) and len(pictures.unique()) == 3
    gains = (TRUE / TRUE.log().mean(0).exp())[pictures]
    alpha, behind = prediction.rendering.alpha[:, None], batch.background
    torch.testing.assert_close(
        losses.over_background(exposed), prediction.rendering.color * gains + (1 - alpha) * behind
    )
    assert torch.equal(exposed.rendering.alpha, prediction.rendering.alpha)
    expected = ((TRUE.log() - TRUE.log().mean(0)) ** 2).mean().item()
    assert losses.ExposureLoss(1.0)(exposed).item() == pytest.approx(expected)


def test_gradients_against_finite_differences():
    exposure = LearnedExposure(3, 0.01, 1).double()
    color, pictures = torch.rand(20, 3, dtype=torch.double), torch.arange(20) % 3

    def value(raw: torch.Tensor) -> torch.Tensor:
        exposure.raw.data = raw.data
        logarithms = raw - raw.mean(0)
        return exposure.expose(color, pictures, logarithms).square().sum() + logarithms.square().mean()

    raw = torch.randn(3, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(value, raw)
    exposure.raw.data = raw.detach()
    assert torch.allclose(exposure.log_gains(), raw - raw.mean(0))


def test_nothing_drifts_into_the_avatars_colour():
    """Whatever the parameters are, the gains' geometric mean is 1, and the loss's gradients move it nowhere."""
    exposure = LearnedExposure(4, 0.01, 1)
    torch.nn.init.normal_(exposure.raw, 3.0)
    assert exposure.log_gains().mean(0).abs().max() < 1e-6
    exposure.expose(torch.rand(9, 3), torch.arange(9) % 2, exposure.log_gains()).sum().backward()
    assert exposure.raw.grad is not None and exposure.raw.grad.sum(0).abs().max() < 1e-6


def test_fixed_exposure_costs_nothing(store: PixelStore):
    human = module(FixedExposure(3))
    assert not list(human.exposure.parameters()) and human.exposure.parameter_groups() == []
    assert not any("exposure" in name for name in human.state_dict())
    batch = RaySampler(10, {"body": 1.0}, 0, 4, "black").draw(store)
    prediction = human.avatar.predict(batch, human.avatar.prepare([toy.pose(frame) for frame in range(3)]))
    exposed = human.exposed(prediction)
    assert exposed.rendering.color is prediction.rendering.color and exposed.log_gains is None
    assert losses.ExposureLoss(1.0)(exposed).item() == 0


def test_pictures_are_rendered_without_gains():
    """Validation, evaluation and new poses ask the avatar, which knows no gains."""
    human = module(LearnedExposure(3, 0.01, 1))
    before = human.avatar.render_image(toy.camera(0), toy.pose(1), 1).rgb
    torch.nn.init.normal_(human.exposure.raw)
    assert torch.equal(human.avatar.render_image(toy.camera(0), toy.pose(1), 1).rgb, before) and before.max() > 0


def test_the_group_has_its_own_rate_and_warm_up():
    (group,) = LearnedExposure(3, 0.01, 4).parameter_groups()
    assert group["lr"] == 0.01 and [group["factor"](step) for step in (0, 1, 3, 9)] == [0.25, 0.5, 1, 1]
    assert math.isclose(LearnedExposure(3, 0.01, 0).parameter_groups()[0]["factor"](0), 1)


def test_rays_of_no_picture_are_refused(store: PixelStore):
    human = module(LearnedExposure(3, 0.01, 1))
    batch = RaySampler(10, {"body": 1.0}, 0, 4, "black").draw(store)
    plain = RayBatch(batch.rays, batch.color, batch.mask, batch.background)
    scene = human.avatar.prepare([toy.pose(frame) for frame in range(3)])
    with pytest.raises(UserError, match="exposure=learned needs batches"):
        human.exposed(human.avatar.predict(plain, scene))
