"""The learned displacement over the surface and time."""

import pytest
import torch

from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.deformer.residual import NoResidual, UVTimeResidual
from hashhuman.encoder import HashGridSpec
from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.errors import UserError
from hashhuman.gpu.part_rows import padded
from hashhuman.network.torch_mlp import TorchMLPs
from tests.hashhuman import small

SPEC = HashGridSpec(2, 2, 8, 4, 1.5)


@pytest.fixture
def residual() -> UVTimeResidual:
    torch.manual_seed(0)
    return UVTimeResidual(4, TorchHashGrids, TorchMLPs, SPEC, hidden=8, limit=0.05, neighborhood=0.02)


def some_pairs(time: list[int], uv: torch.Tensor | None = None) -> CanonicalPairs:
    """Pairs of one part, each with its own posed body, at these times."""
    count, generator = len(time), torch.Generator().manual_seed(1)
    uv = torch.rand(count, 2, generator=generator) if uv is None else uv
    each = torch.arange(count)
    points = Points(torch.zeros(count, 3), torch.zeros(count, 3), each)
    x = torch.randn(count, 3, generator=generator)
    return small.pairs(x, [count], uv=uv, points=points, frame_time=torch.tensor(time))


def train(residual: UVTimeResidual, pairs, target: torch.Tensor, steps: int = 80) -> torch.Tensor:
    optimizer = torch.optim.Adam(residual.parameters(), 0.02)
    for _ in range(steps):
        loss = (residual(pairs).value[: len(target)] - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.detach()


def test_training_starts_from_skinning_alone(residual):
    found = residual(some_pairs([0, 1, 2, 3]))
    assert torch.equal(found.value, torch.zeros(padded(4), 3))
    assert found.real.nonzero()[:, 0].tolist() == [0, 1, 2, 3]


def test_it_learns_displacements_that_change_in_time(residual):
    pairs = some_pairs([0, 0, 3, 3], torch.tensor([[0.2, 0.3], [0.8, 0.6]]).repeat(2, 1))
    target = torch.tensor([[0.02, 0.0, -0.01], [0.0, 0.01, 0.0], [-0.02, 0.0, 0.0], [0.0, -0.03, 0.01]])
    assert train(residual, pairs, target) < 0.05 * target.square().mean()


def test_displacements_are_bounded_and_zero_in_unseen_poses(residual):
    train(residual, some_pairs([0, 1, 2, 3]), torch.full((4, 3), 9.0))  # far beyond the limit
    value = residual(some_pairs([0, -1, 2, -1])).value[:4]
    assert torch.equal(value[1::2], torch.zeros(2, 3))
    assert (value[::2].abs() <= 0.05).all() and (value[::2].abs() > 0.03).all()


def test_nearby_displacements_differ_in_training_only(residual):
    pairs = some_pairs([0] * 50)
    train(residual, pairs, 0.05 * torch.rand(50, 3), steps=30)
    found = residual(pairs)
    difference = (found.value - found.nearby)[found.real].norm(dim=1)
    assert (difference > 0).any() and difference.max() < 0.5 * found.value[found.real].norm(dim=1).max()
    still = residual.eval()(pairs)
    assert still.nearby is still.value


def test_time_is_the_middle_of_each_frames_interval(residual):
    seen = []
    residual.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    residual.eval()(some_pairs([0, 3, -1]))
    torch.testing.assert_close(seen[0][:2, 2], torch.tensor([0.125, 0.875]))  # the middles of four intervals
    assert ((seen[0] >= 0) & (seen[0] <= 1)).all()


def test_bodies_without_texture_coordinates(residual):
    with pytest.raises(UserError, match="uv_time needs texture coordinates"):
        residual(small.pairs(torch.zeros(2, 3), [2]))
    with pytest.raises(UserError, match="use inverse_skinning"):
        residual.eval()(small.pairs(torch.zeros(2, 3), [2]))


def test_no_residual_returns_none():
    none = NoResidual(4, grids=TorchHashGrids, networks=TorchMLPs)
    assert none(some_pairs([0, 1])) is None and not list(none.parameters())
