"""The loops of inverse skinning against plain PyTorch."""

import pytest
import torch

from hashhuman.cpu import loops
from tests.hashhuman.deformer.test_inverse_skinning_kernels import (
    CPU,
    carried,
    carried_with_graph,
    learnable,
    some_cells,
    some_points,
)

COUNT = 1500  # enough for several threads


@pytest.mark.parametrize("uv", [False, True])
@pytest.mark.parametrize("cells", [None, some_cells()], ids=["everywhere", "in marked cells"])
def test_the_same_pairs_in_the_same_rows(uv: bool, cells, monkeypatch: pytest.MonkeyPatch):
    slow = carried(CPU, "torch", uv, cells=cells, count=COUNT)
    monkeypatch.setattr(loops, "_limit", 3)
    fast = carried(CPU, "numba", uv, cells=cells, count=COUNT)
    assert (slow.needed > 10).sum() >= 4 and fast.rows.sizes == slow.rows.sizes
    for name in ("needed", "slots", "point"):
        torch.testing.assert_close(getattr(fast, name), getattr(slow, name))
    torch.testing.assert_close(fast.rows.used, slow.rows.used)
    for name in ("x", "rotation", "normal") + (("uv",) if uv else ()):
        torch.testing.assert_close(getattr(fast, name), getattr(slow, name), atol=2e-5, rtol=1e-4)


def test_unused_points_make_no_pairs():
    some = carried(CPU, "numba", used=100)
    assert (some.slots[:, 100:] == -1).all()
    torch.testing.assert_close(
        some.slots[:, :100], carried(CPU, "torch").slots[:, :100].where(some.slots[:, :100] >= 0, -1)
    )


@pytest.mark.parametrize("name", ["world_from_posed", "canonical_from_posed", "position"])
def test_who_asks_for_gradients_gets_them(name: str):
    """The loops have none, so plain PyTorch takes over."""
    bodies, points = learnable(CPU, some_points(), (name,))
    pairs = carried_with_graph(bodies, points, "numba")
    pairs.x.sum().backward()
    assert getattr(points if name == "position" else bodies, name).grad.abs().sum() > 0
