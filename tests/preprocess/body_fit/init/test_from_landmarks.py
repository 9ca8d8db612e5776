"""A body is fitted to points on it: shape, poses and place come back as they were."""

import math

import numpy as np
import pytest
import torch

from hashhuman.body.anny import AnnyBody
from preprocess.body_fit.init import from_landmarks
from preprocess.body_fit.init.from_landmarks import HEAD, LIMBS, TRUNK, fit_landmarks
from preprocess.body_fit.landmarks import LANDMARKS, OFFSETS
from preprocess.body_fit.sequence import BodySequence

NAMES = (*TRUNK, *HEAD, *(f"{side}_{end}" for side in ("left", "right") for _, end in LIMBS),
         *(f"{side}_{end}" for side in ("left", "right") for end in (
             "heel", "small_toe", "thumb_knuckle", "index_knuckle", "pinky_knuckle")))  # fmt: skip


@pytest.fixture
def other(body, moving) -> tuple[BodySequence, torch.Tensor]:
    """The moving body with another shape and joints that turn at random, and its landmarks."""
    sequence = BodySequence(body, LANDMARKS, OFFSETS, moving[2].surface, 14)
    sequence.load_state_dict(moving[2].state_dict())
    with torch.no_grad():
        sequence.shape.copy_(torch.tensor([0.8, -0.4, 0.7, 0.9, 1.0, -0.5]))
        still = ("hand", "foot")
        limbs = [i for i, name in enumerate(body.joint_names) if "_" in name and not name.endswith(still)]
        noise = torch.randn(14, len(limbs), 3, generator=torch.Generator().manual_seed(0))
        sequence.pose[:, limbs] += 0.1 * noise
        moments = torch.einsum("k,kljc->ljc", sequence.basis(), body.landmark_basis(NAMES))
        points = torch.einsum("fjab,ljb->fla", sequence().bone_transforms[:, :, :3], moments)
    return sequence, points


def fitted(body, points: torch.Tensor, surface: torch.Tensor) -> BodySequence:
    sequence = BodySequence(body, LANDMARKS, OFFSETS, surface, len(points))
    fit_landmarks(sequence, NAMES, points)
    return sequence


def test_shape_poses_and_place_come_back(body, other):
    sequence, points = other
    found = fitted(body, points, sequence.surface)
    apart = (found().joints - sequence().joints).norm(dim=-1)
    assert apart.mean() < 0.003 and apart.max() < 0.02
    tall = list(body.shape_names).index("height")
    assert abs(found.shape[tall].item() - sequence.shape[tall].item()) < 0.3
    assert found.pose[:, 0].abs().max() == 0 and found.offset.abs().max() == 0


class Toeless(AnnyBody):
    """A body without landmarks at the small toes, as SMPL without its regressor."""

    def _moments(self, name: str) -> torch.Tensor:
        if "small_toe" in name:
            raise KeyError(name)
        return super()._moments(name)


def test_points_that_the_body_lacks_are_left_out(other):
    sequence, points = other
    spoilt = points.clone()
    spoilt[:, [name.endswith("small_toe") for name in NAMES]] += 1
    found = fitted(Toeless(), spoilt, sequence.surface)
    assert (found().joints - sequence().joints).norm(dim=-1).mean() < 0.003


def test_points_that_stray_by_a_centimetre(body, moving):
    """In each direction and frame by itself."""
    sequence = moving[2]
    with torch.no_grad():
        moments = torch.einsum("k,kljc->ljc", sequence.basis(), body.landmark_basis(NAMES))
        points = torch.einsum("fjab,ljb->fla", moving[1].bone_transforms[:, :, :3], moments)
    noise = 0.01 * torch.randn(points.shape, generator=torch.Generator().manual_seed(0))
    apart = (fitted(body, points + noise, sequence.surface)().joints - moving[1].joints).norm(dim=-1)
    assert apart.mean() < 0.016 and apart.max() < 0.06


def test_what_no_point_tells_stays_at_rest(body, other):
    """Nothing shows the fingers' joint."""
    sequence, points = other
    found = fitted(body, points, sequence.surface)
    assert found.pose[:, body.joint_names.index("left_hand")].abs().max() < 0.01


def test_the_step_descends_as_the_derivatives_say(body, other):
    """The Jacobian by hand, against the change of the landmarks after small turns, moves and changes of shape."""
    _, points = other
    problem = from_landmarks._Problem(body, NAMES, points.double())
    pose = problem.begin()
    before, after = problem.cost(pose), problem.cost(problem.step(pose, 1e-3))
    assert after < 0.5 * before
    for damping in (1e3, 1e5):  # so small a step goes down the gradient
        small = problem.step(pose, damping)
        assert problem.cost(small) < before
    ended = pose
    for _ in range(8):
        ended = problem.step(ended, 1e-6)
    at_the_end = problem.step(ended, 1e-6)
    assert math.isclose(problem.cost(at_the_end), problem.cost(ended), rel_tol=1e-4)
    assert np.isfinite(problem.cost(ended)) and problem.cost(ended) < 0.05 * before
