"""Gradients that are blurred over time."""

import math

import pytest
import torch

from hashhuman.pose.blur import EVERY, GradientBlur

TIMES = torch.tensor([0.0, 1, 2, 4, 5, 6, 7, 9])


def blurred(blur: GradientBlur, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What comes back to the corrections of 2 joints."""
    rotation = torch.zeros(len(gradient), 2, 3, requires_grad=True)
    transl = torch.zeros(len(gradient), 3, requires_grad=True)
    through = blur(rotation, transl)
    assert torch.equal(through[0], rotation) and torch.equal(through[1], transl)
    sum((x.flatten(1) * g).sum() for x, g in zip(through, gradient.split([6, 3], 1))).backward()
    return rotation.grad, transl.grad


@pytest.mark.parametrize("step", [0, 500, 2000])
def test_gradients_are_a_gaussian_mean_over_time(step: int):
    """Against the whole matrix, whose window is not cut; frames need not be evenly spaced."""
    blur = GradientBlur(3.0, 0.6, 1000)
    blur.start(TIMES, step)
    deviation = {0: 3.0, 500: math.sqrt(3.0 * 0.6), 2000: 0.6}[step]
    matrix = torch.exp(-0.5 * ((TIMES[:, None] - TIMES) / deviation) ** 2)
    gradient = torch.randn(8, 9, generator=torch.Generator().manual_seed(0))
    expected = matrix / matrix.sum(1, keepdim=True) @ gradient
    rotation, transl = blurred(blur, gradient)
    torch.testing.assert_close(rotation, expected[:, :6].unflatten(1, (2, 3)))
    torch.testing.assert_close(transl, expected[:, 6:])


def test_a_constant_gradient_stays_and_noise_shrinks():
    blur = GradientBlur(4.0, 0.5, 10)
    blur.start(torch.arange(100.0), 0)
    torch.testing.assert_close(blurred(blur, torch.ones(100, 9))[1], torch.ones(100, 3))
    noise = blurred(blur, torch.randn(100, 9, generator=torch.Generator().manual_seed(1)))[0]
    assert noise.std() == pytest.approx(1 / math.sqrt(2 * math.sqrt(math.pi) * 4), rel=0.2)


def test_it_narrows_in_place_and_a_continued_training_has_the_same():
    """In place, since a captured graph reads the weights."""
    blur, again = GradientBlur(4.0, 0.5, 100), GradientBlur(4.0, 0.5, 100)
    blur.start(TIMES, 0)
    weights, before = blur.weights, blur.weights.clone()
    for step in range(1, 64):
        blur.after_step(step)
    assert blur.weights is weights and (weights.diagonal() != before.diagonal()).any()
    again.start(TIMES, 63)
    assert torch.equal(again.weights, weights)
    for step in range(64, 200 + EVERY):
        blur.after_step(step)
    again.start(TIMES, 10**6)
    assert torch.equal(again.weights, weights)


def test_a_single_frame_keeps_its_gradient():
    blur = GradientBlur(4.0, 0.5, 100)
    blur.start(torch.zeros(1), 0)
    gradient = torch.arange(9.0)[None]
    rotation, transl = blurred(blur, gradient)
    assert torch.equal(torch.cat([rotation.flatten(1), transl], 1), gradient)


@pytest.mark.parametrize("frames", [1, 8])
def test_a_huge_deviation_takes_no_more_memory_than_the_frames_and_is_their_mean(frames: int):
    blur = GradientBlur(1e9, 1e9, 10)
    blur.start(TIMES[:frames], 0)
    gradient = torch.randn(frames, 9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(blurred(blur, gradient)[1], gradient[:, 6:].mean(0).expand(frames, 3))
