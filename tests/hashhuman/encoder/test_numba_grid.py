"""The loops of the hash grids against the torch ones."""

import pytest
import torch

from hashhuman.cpu import loops
from hashhuman.encoder.auto import AutoHashGrids
from hashhuman.encoder.numba_grid import NumbaHashGrids
from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.errors import UserError
from hashhuman.gpu.part_rows import GRANULE
from tests.hashhuman.encoder.grids import SPECS, compare, parts_of, positions, randomised
from tests.hashhuman.part_rows import rows_of


@pytest.mark.parametrize("name", SPECS)
def test_values_and_gradients(name: str):
    spare = GRANULE if name == "tiny" else 0
    compare(randomised(NumbaHashGrids(parts_of(SPECS[name]))), rows_of(100, 300, spare=spare))


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch):
    grids, rows = randomised(NumbaHashGrids([SPECS["both"]])), rows_of(3000)
    x = positions(rows, torch.Generator().manual_seed(0))
    results = []
    for n_threads in (1, 3):
        monkeypatch.setattr(loops, "_limit", n_threads)
        here = x.clone().requires_grad_()
        grids.table.grad = None
        features = grids(here, rows)
        features.square().sum().backward()
        results.append((features[rows.mask()], grids.table.grad, here.grad[rows.mask()]))
    assert all(torch.equal(one, three) for one, three in zip(*results))


def test_positions_outside_the_cube_find_the_same_entries():
    """Dense indices wrap around like those of plain PyTorch."""
    grids, rows = randomised(NumbaHashGrids([SPECS["dense"]])), rows_of(40)
    x = torch.linspace(-2, 3, 3 * 128).view(128, 3)
    torch.testing.assert_close(grids(x, rows), TorchHashGrids.forward(grids, x, rows), atol=1e-5, rtol=1e-4)


def test_the_default_on_a_cpu():
    auto, rows = randomised(AutoHashGrids([SPECS["tiny"]])), rows_of(20)
    x = positions(rows, torch.Generator().manual_seed(0))
    assert auto(x, rows).grad_fn.name() == NumbaHashGrids.forward(auto, x, rows).grad_fn.name()


def test_no_rows_at_all():
    grids = NumbaHashGrids([SPECS["tiny"]])
    grids(torch.empty(0, 3), rows_of(0)).sum().backward()
    assert (grids.table.grad == 0).all()


def test_a_second_derivative_is_refused():
    grids, rows = randomised(NumbaHashGrids([SPECS["tiny"]])), rows_of(20)
    x = positions(rows, torch.Generator().manual_seed(0)).requires_grad_()
    features = grids(x, rows).square().sum()
    (slope,) = torch.autograd.grad(features, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        (features + slope.square().sum()).backward()


def test_on_a_gpu():
    with pytest.raises(UserError, match="encoder=numba runs on the CPU only"):
        NumbaHashGrids.require(torch.device("cuda"))
