"""Triton's grids against the torch ones; on a CPU, in Triton's interpreter."""

import pytest
import torch

from hashhuman.encoder.auto import AutoHashGrids
from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.encoder.triton_grid import TritonHashGrids, Tuning
from hashhuman.errors import UserError
from hashhuman.gpu import backend
from hashhuman.gpu.part_rows import GRANULE, PartRows
from tests.hashhuman.encoder.grids import SPECS, compare, parts_of, positions, pull, randomised
from tests.hashhuman.part_rows import rows_of


@pytest.mark.parametrize("name", SPECS)
def test_values_and_gradients(name: str):
    compare(
        randomised(TritonHashGrids(parts_of(SPECS[name]))), rows_of(100, 128, spare=GRANULE if name == "tiny" else 0)
    )


@pytest.mark.parametrize(
    "tuning", [Tuning(1, 4, 4), Tuning(2, 8, 8)], ids=["one entry at a time", "two entries at a time"]
)
def test_any_tuning_computes_the_same(tuning: Tuning):
    grids = randomised(TritonHashGrids([SPECS["tiny"]]))
    grids.tuning = tuning
    compare(grids, rows_of(40))


def test_tables_of_halves():
    grids = randomised(TritonHashGrids([SPECS["tiny"]], table_dtype="float16", gradient_dtype="float16"))
    compare(grids, rows_of(40), atol=2e-3)
    assert grids.table.grad.dtype == torch.float32


def test_positions_need_no_gradient():
    grids = randomised(TritonHashGrids([SPECS["tiny"]]))
    rows = rows_of(20)
    x = positions(rows, torch.Generator().manual_seed(2))
    upstream = torch.ones(rows.total, 4)
    _, expected, _ = pull(TorchHashGrids(grids.specs), x, upstream, rows)  # whatever the table holds
    grids(x, rows).backward(upstream)
    torch.testing.assert_close(grids.table.grad, expected)


def test_frozen_tables():
    grids = randomised(TritonHashGrids([SPECS["tiny"]])).requires_grad_(False)
    rows = rows_of(20)
    x = positions(rows, torch.Generator().manual_seed(2)).requires_grad_()
    grids(x, rows).sum().backward()
    reference = TorchHashGrids(grids.specs)
    reference.load_state_dict(grids.state_dict())
    _, _, expected = pull(reference, x.detach(), torch.ones(rows.total, 4), rows)
    torch.testing.assert_close(x.grad, expected, atol=1e-4, rtol=1e-4)
    assert grids.table.grad is None


def test_nothing_is_kept_without_gradients():
    grids = randomised(TritonHashGrids([SPECS["tiny"]]))
    rows = rows_of(20)
    with torch.no_grad():
        features = grids(positions(rows, torch.Generator().manual_seed(2)), rows)
    assert features.grad_fn is None and features.stride() == (1, rows.total)


def test_no_rows_at_all():
    grids = TritonHashGrids([SPECS["tiny"]])
    grids(torch.empty(0, 3), rows_of(0)).sum().backward()
    assert (grids.table.grad == 0).all()


def test_one_layout_of_parameters():
    assert TritonHashGrids([SPECS["tiny"]]).state_dict().keys() == TorchHashGrids([SPECS["tiny"]]).state_dict().keys()


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch):
    grids, rows = TritonHashGrids([SPECS["tiny"]]), rows_of(4)
    x = torch.rand(rows.total, 3)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(UserError, match=r"encoder=triton needs a CUDA device.*choose encoder=auto or encoder=torch"):
        grids(x, rows)
    auto = AutoHashGrids([SPECS["tiny"]])
    assert auto(x, rows).grad_fn.name() != grids_name(monkeypatch, auto, x, rows)


def grids_name(monkeypatch: pytest.MonkeyPatch, grids: TritonHashGrids, x: torch.Tensor, rows: PartRows) -> str:
    """Name of the autograd function of the kernels."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    return TritonHashGrids.forward(grids, x, rows).grad_fn.name()


def test_without_triton(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backend, "installed", lambda: False)
    with pytest.raises(UserError, match="and the package triton"):
        TritonHashGrids([SPECS["tiny"]])(torch.rand(GRANULE, 3), rows_of(4))


@pytest.mark.gpu
@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_gpu_computes_the_same(name: str, dtype):
    specs = parts_of(SPECS[name])
    grids = randomised(TritonHashGrids(specs, table_dtype=dtype)).cuda()
    reference = randomised(TorchHashGrids(specs)).cuda()
    rows = rows_of(3000, 5000, spare=GRANULE)
    rows = PartRows(rows.sizes, rows.used.cuda())
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(rows.total, 3, generator=generator).cuda()
    x[~rows.mask()] = float("nan")
    upstream = torch.randn(rows.total, grids.n_features, generator=generator).cuda()
    here, there = pull(grids, x, upstream, rows), pull(reference, x, upstream, rows)
    for mine, other in zip(here, there):
        error = (mine - other)[: len(rows.mask())] if len(mine) == rows.total else mine - other
        error = error[rows.mask()] if len(mine) == rows.total else error
        assert error.norm() <= (1e-5 if dtype == "float32" else 2e-3) * other.norm()
