"""The loops' terms have the values and the gradients of PyTorch's operations."""

import dataclasses

import pytest
import torch

from preprocess.body_fit.optimise.correspondence_loops import nearest_on_rim
from preprocess.body_fit.optimise.loop_terms import LoopTerms
from preprocess.body_fit.optimise.terms import Terms
from tests.preprocess.body_fit.optimise.test_gradients import WEIGHTS, evidence  # noqa: F401
from tests.preprocess.body_fit.test_fit import shown  # noqa: F401


@pytest.mark.parametrize("name", ["inside", "contour", "flow", "texture"])
def test_a_term_of_the_skin(moving, evidence, name):  # noqa: F811
    _, posed, sequence = moving
    plain, loops = Terms(sequence, evidence), LoopTerms(sequence, evidence)
    for terms in (plain, loops):
        terms.match(posed, WEIGHTS)
    torch.manual_seed(0)
    vertices = posed.vertices.detach() + 0.03 * torch.randn_like(posed.vertices)
    vertices[0, :5] += torch.tensor([3.0, 1, 0])  # beyond the window
    vertices[1, :5, 2] = -1.0  # behind the camera
    vertices.requires_grad_()
    there = dataclasses.replace(posed, vertices=vertices)
    expected, found = (getattr(terms, name)(there) for terms in (plain, loops))
    assert expected > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    (right,), (gradient,) = (torch.autograd.grad(2 * value, vertices) for value in (expected, found))
    # Where a vertex lies on the edge of a cell, rounding decides which of two slopes its gradient has.
    assert (gradient - right).norm() < 2e-3 * right.norm()
    assert ((gradient - right).abs() < 1e-4 * right.abs().max()).float().mean() > 0.999


def test_the_least_cost_is_found():
    torch.manual_seed(0)
    frames, points, vertices = 3, 20, 50
    pixels, flat = 100 * torch.rand(frames, vertices, 2), torch.randn(frames, vertices, 2)
    at, normals = 100 * torch.rand(frames, points, 2), torch.randn(frames, points, 2)
    off_rim, scale = torch.rand(frames, vertices) * (torch.rand(frames, vertices) > 0.5), torch.rand(frames) / 50
    away = (at[:, :, None] - pixels[:, None]).norm(dim=-1) * scale[:, None, None]
    unit = torch.nn.functional.normalize
    flat, normals = unit(flat, dim=-1), unit(normals, dim=-1)
    cost = away + 0.1 * (1 - normals @ flat.mT) + off_rim[:, None]
    assert torch.equal(nearest_on_rim(pixels, flat, off_rim, at, normals, scale, 0.1), cost.argmin(2))
