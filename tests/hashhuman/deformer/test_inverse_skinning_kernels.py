"""Triton's inverse skinning against the reference in plain PyTorch."""

import pytest
import torch

from hashhuman.deformer.cells import Cells
from hashhuman.deformer.inverse_skinning import InverseSkinning
from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.neighbors.grid import GridNeighbors
from tests import toy
from tests.hashhuman import small

COUNT = 300


def some_points(used: int | None = None, count: int = COUNT) -> Points:
    generator = torch.Generator().manual_seed(0)
    bodies = small.bodies()
    frame = torch.arange(count) % 3
    corner = bodies.vertices[frame, torch.randint(40, (count,), generator=generator)]
    posed = corner + 0.06 * torch.randn(count, 3, generator=generator)
    direction = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    return Points(bodies.to_world(posed, frame), direction, frame, None if used is None else torch.tensor([used]))


def some_cells() -> Cells:
    marked = (torch.rand(5 * 4**3, generator=torch.Generator().manual_seed(3)) < 0.5).to(torch.uint8)
    return Cells(torch.full((5, 3), -1.0), torch.full((5,), 2.0), 4, marked)


def carried(
    device: torch.device, kernels: str, uv: bool = False, capacity=None, used: int | None = None, cells=None,
    count: int = COUNT,
) -> CanonicalPairs:  # fmt: skip
    bodies = small.on(small.bodies(), device)
    grid = GridNeighbors(bodies.vertices, small.on(small.part_points(), device), 0.03, 0.16)
    skinning = InverseSkinning(0.12, 0.05, 0.02, kernels)
    texture = toy.template().uv if uv else None
    inputs = (small.on(x, device) for x in (some_points(used, count), texture, cells))
    points, texture, cells = inputs
    return small.on(skinning(points, bodies, grid, texture, cells, capacity), torch.device("cpu"))


@pytest.mark.parametrize("uv", [False, True])
def test_both_carry_points_to_the_same_places(uv: bool, device: torch.device):
    slow, fast = carried(device, "torch", uv), carried(device, "triton", uv)
    assert slow.needed.sum() > COUNT / 2 and (slow.needed > 10).all()
    assert fast.rows.sizes == slow.rows.sizes
    torch.testing.assert_close(fast.rows.used, slow.rows.used)
    torch.testing.assert_close(fast.slots >= 0, slow.slots >= 0)
    mine, theirs = (pairs.slots[pairs.slots >= 0].long() for pairs in (fast, slow))  # in the same order of points
    torch.testing.assert_close(fast.point[mine].long(), slow.point[theirs])
    for name in ("x", "rotation", "normal") + (("uv",) if uv else ()):
        values = getattr(fast, name)
        torch.testing.assert_close(values[mine], getattr(slow, name)[theirs], atol=2e-5, rtol=1e-4)
        assert values.isfinite().all()


def test_both_leave_out_unmarked_cells(device: torch.device):
    slow, fast, everything = (
        carried(device, "torch", cells=some_cells()),
        carried(device, "triton", cells=some_cells()),
        carried(device, "torch"),
    )
    torch.testing.assert_close(fast.slots >= 0, slow.slots >= 0)
    ratio = slow.needed.sum() / everything.needed.sum()
    assert 0.1 < ratio < 0.9
    # By hand: cells have sides of half a metre, from -1 m on.
    part, point = (everything.slots >= 0).nonzero().unbind(1)
    i, j, k = ((everything.x[everything.slots[part, point]] + 1) / 0.5).long().clamp(0, 3).unbind(1)
    marked = some_cells().marked.view(5, 4, 4, 4)[part, i, j, k] > 0
    torch.testing.assert_close(slow.slots[part, point] >= 0, marked)


def test_unused_points_make_no_pairs(device: torch.device):
    some = carried(device, "triton", used=100)
    assert (some.slots[:, 100:] == -1).all()
    torch.testing.assert_close(some.slots[:, :100] >= 0, carried(device, "triton").slots[:, :100] >= 0)


def test_surplus_pairs_are_left_out(device: torch.device):
    everything = carried(device, "triton", count=900)
    short = carried(device, "triton", capacity=(128,) * 5, count=900)
    assert (everything.needed > 128).any()
    torch.testing.assert_close(short.needed, everything.needed)
    torch.testing.assert_close(short.rows.used, everything.needed.clamp_max(128))
    for part in range(5):
        rows = short.slots[part][short.slots[part] >= 0]
        assert len(rows) == short.rows.used[part]
        assert ((rows >= 128 * part) & (rows < 128 * (part + 1))).all() and len(rows.unique()) == len(rows)
