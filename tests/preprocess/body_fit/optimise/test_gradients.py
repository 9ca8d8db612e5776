"""Gradients of a fit's terms: those of plain backward, and on a GPU those of the CPU."""

import dataclasses

import numpy as np
import pytest
import torch

from hashhuman.errors import UserError
from preprocess.body_fit.evidence.texture import Texture, texture_window
from preprocess.body_fit.native import fit
from preprocess.body_fit.optimise.gradients import ObjectiveGradients
from preprocess.body_fit.optimise.terms import Terms
from tests.preprocess.body_fit.test_fit import PRIORS, RATES, seen_in, shown  # noqa: F401

WEIGHTS = {"points": 1, "world": 1, "inside": 1, "contour": 1, "flow": 2, "texture": 16, "clothes": 0.02, **PRIORS}
FREE = {**RATES, "offset": 0.001}


@pytest.fixture
def evidence(shown):  # noqa: F811
    """Of every kind, with noise for a texture."""
    noise = np.random.default_rng(0)
    masks = shown[2]
    windows = [texture_window(noise.integers(0, 255, (*mask.shape, 3), dtype=np.uint8), mask) for mask in masks]
    return dataclasses.replace(seen_in(*shown), texture=Texture.of(windows))


def test_equals_plain_backward_at_every_step(moving, evidence):
    sequence = moving[2]
    set_gradients = ObjectiveGradients(Terms(sequence, evidence), WEIGHTS, list(FREE))
    set_gradients.rematch()
    before = {name: getattr(sequence, name).detach().clone() for name in FREE}
    try:
        for shift in (0.0, 0.02):
            with torch.no_grad():
                for name in FREE:
                    getattr(sequence, name).add_(shift)
            posed = sequence()
            loss = sum(weight * getattr(set_gradients.terms, name)(posed) for name, weight in WEIGHTS.items())
            expected = torch.autograd.grad(loss, set_gradients.parameters)
            set_gradients()
            for name, gradient in zip(FREE, expected):
                assert gradient.abs().max() > 0
                torch.testing.assert_close(getattr(sequence, name).grad, gradient, rtol=1e-4, atol=1e-6, msg=name)
    finally:
        with torch.no_grad():
            for name, value in before.items():
                getattr(sequence, name).copy_(value)


@pytest.mark.gpu
def test_a_gpu_fits_as_the_cpu_does(body, evidence):
    stages = [{"steps": 24, "blur": 4, "weights": WEIGHTS, "free": FREE}]
    fitted = {device: fit(body, evidence, stages, 200, lambda: None, device=device) for device in ("cpu", "cuda")}
    (there, on_gpu), (_, on_cpu) = fitted["cuda"], fitted["cpu"]
    assert all(value.device.type == "cpu" for value in [*vars(on_gpu).values(), *there.parameters()])
    # Adam turns rounding of small gradients into steps, so that the two part slowly.
    assert (on_gpu.vertices - on_cpu.vertices).norm(dim=-1).mean() < 0.003


def test_a_device_that_is_not_there_is_refused_before_anything_runs():
    from preprocess.body_fit.native import NativeFit

    with pytest.raises(UserError, match=r"preprocess\.body_fit\.device=warp"):
        NativeFit(lambda: None, [], device="warp")
