"""Accelerations of bodies, and how much of them is motion."""

import math

import pytest
import torch

from hashhuman.pose.motion import LEVER, accelerations, steadiness


def along_x(x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Accelerations of one joint of bodies that move along x and do not turn."""
    world = torch.eye(4).repeat(len(x), 1, 1)
    world[:, 0, 3] = x
    return accelerations(torch.eye(3, 4).repeat(len(x), 1, 1, 1), world, times)


def test_accelerations_of_a_parabola_by_hand():
    times = torch.tensor([0.0, 1, 3, 4, 6])
    found = along_x(times**2, times)
    expected = torch.zeros(3, 1, 3, 4)
    expected[:, 0, 0, 3] = 2
    torch.testing.assert_close(found, expected)


def test_a_turning_joint_accelerates_its_axes_alone():
    turns = torch.arange(5.0) * 0.2
    chain = torch.zeros(5, 1, 3, 4)
    chain[:, 0, 0, 0], chain[:, 0, 1, 0] = turns.cos(), turns.sin()
    found = accelerations(chain, torch.eye(4).repeat(5, 1, 1), torch.arange(5.0))
    assert found[..., 3].abs().max() == 0
    torch.testing.assert_close(found[:, 0, :, 0].norm(dim=1), torch.full((3,), LEVER * 2 * (1 - math.cos(0.2))))


def test_a_joint_that_is_thrown_may_accelerate_and_one_that_trembles_may_not():
    """Of constant acceleration a; and of a tremble of +-a, which the window leaves nothing of."""
    times = torch.arange(40.0)
    thrown = along_x(0.5 * 0.05 * times**2, times)
    assert steadiness(thrown, 0.01).flatten() == pytest.approx(0.01**2 / (0.01**2 + 0.05**2), rel=1e-3)
    trembling = along_x(0.05 / 4 * (-1.0) ** times, times)
    assert trembling.abs().max() == pytest.approx(0.05, rel=1e-4)
    torch.testing.assert_close(steadiness(trembling, 0.01)[4:-4], torch.ones(30, 1), rtol=1e-3, atol=0)


def test_a_rest_before_a_throw_stays_steady():
    times = torch.arange(40.0)
    found = steadiness(along_x(0.5 * 0.05 * (times - 20).clamp_min(0) ** 2, times), 0.01)[:, 0]
    assert found[:14].min() == 1 and found[24:].max() < 0.05


def test_three_frames_are_enough():
    assert steadiness(along_x(torch.zeros(3), torch.arange(3.0)), 0.01).tolist() == [[1.0]]


def test_extreme_trembles_are_numbers():
    resting, thrown = (along_x(scale * torch.arange(6.0) ** 2, torch.arange(6.0)) for scale in (0.0, 1.0))
    assert steadiness(thrown, 1e30).min() == 1 and steadiness(thrown, 1e-30).max() == 0
    assert steadiness(resting, 1e-30).min() == 1
