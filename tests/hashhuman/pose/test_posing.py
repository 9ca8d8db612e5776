"""The bodies of the training frames, posed from corrections in a step."""

import dataclasses

import pytest
import torch

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.body.template import BodyTemplate
from hashhuman.geometry import skinning
from hashhuman.pose import posing, posing_kernels
from hashhuman.pose.corrections import Correction
from tests import toy
from tests.hashhuman import small


def longer_template() -> BodyTemplate:
    """The toy with chains: an arm on the head, and a further joint on that."""
    return dataclasses.replace(toy.template(), parents=(-1, 0, 1, 2, 0))


def corrections(scale: float, n_frames: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        scale * torch.randn(n_frames, 5, 3, generator=generator),
        scale * torch.randn(n_frames, 3, generator=generator),
    )


@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_corrections_pose_as_corrected_poses_do(scale: float):
    template, poses = longer_template(), [toy.pose(frame) for frame in range(3)]
    rotation, transl = corrections(scale)
    fitted = posing.Fitted.of(template, poses)
    chain, world = posing.chains(rotation, transl, fitted)
    corrected = [Correction(*one).of(pose, template.joints[0]) for *one, pose in zip(rotation, transl, poses)]
    expected = PosedBodies.from_poses(template, corrected, torch.arange(3))
    torch.testing.assert_close(world, expected.world_from_posed, atol=2e-6, rtol=0)
    torch.testing.assert_close(posing.maps(chain, fitted), expected.canonical_from_posed, atol=1e-5, rtol=0)
    joints = torch.stack([
        skinning.transform(template.bone_transforms(pose.body_pose), template.joints) for pose in corrected
    ])  # fmt: skip
    torch.testing.assert_close(chain[..., 3], joints, atol=2e-6, rtol=0)


@pytest.mark.parametrize("scale", [0.0, 0.03, 2.0])
def test_kernels_and_torch_agree(scale: float, device: torch.device):
    template, poses = longer_template().to(device), [toy.pose(frame) for frame in range(3)]
    results = []
    for backend in (posing, posing_kernels):
        fitted = posing.Fitted.of(template, poses)
        rotation, transl = (x.to(device).requires_grad_() for x in corrections(scale))
        chain, world = backend.chains(rotation, transl, fitted)
        outputs = chain, world, backend.maps(chain, fitted)
        generator = torch.Generator().manual_seed(1)
        sum((x * torch.randn(x.shape, generator=generator).to(device)).sum() for x in outputs).backward()
        results.append(small.on([*(x.detach() for x in outputs), rotation.grad, transl.grad], torch.device("cpu")))
    for slow, fast in zip(*results):
        assert slow.abs().max() > 0.5
        torch.testing.assert_close(fast, slow, atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("backend", [posing, posing_kernels])
def test_gradients_against_finite_differences(backend):
    """In double precision for the reference; the kernels' differences are taken of the reference."""
    template, poses = longer_template(), [toy.pose(frame) for frame in range(2)]
    rotation, transl = corrections(0.3, 2)
    fitted = posing.Fitted.of(template, poses)
    exact = posing.Fitted(
        **{
            field.name: value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
            for field in dataclasses.fields(fitted)
            for value in [getattr(fitted, field.name)]
        }
    )
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(2, 40, 3, 4, generator=generator), torch.randn(2, 4, 4, generator=generator)

    def total(backend, rotation, transl, fitted):
        chain, world = backend.chains(rotation, transl, fitted)
        return sum((w.to(x) * x).sum() for w, x in zip(weights, (backend.maps(chain, fitted), world)))

    rotation.requires_grad_()
    transl.requires_grad_()
    total(backend, rotation, transl, fitted).backward()
    for parameter, other in ((rotation, 0), (transl, 1)):
        for index in range(0, parameter.numel(), 4):
            values = []
            for sign in (1, -1):
                both = [rotation.detach().double().clone(), transl.detach().double().clone()]
                both[other].view(-1)[index] += sign * 1e-5
                values.append(total(posing, *both, exact))
            expected = float(values[0] - values[1]) / 2e-5
            assert parameter.grad.view(-1)[index].item() == pytest.approx(expected, abs=5e-4, rel=1e-3)
