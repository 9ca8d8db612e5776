"""The tiny-cuda-nn backend, with a stand-in for the package, and against the torch grid if the package is installed."""

import dataclasses
import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hashhuman.encoder.spec import HashGridSpec
from hashhuman.encoder.tinycudann_grid import TinyCudaHashGrids
from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.encoder.triton_grid import TritonHashGrids
from hashhuman.errors import UserError
from hashhuman.gpu.part_rows import PartRows
from tests.hashhuman.encoder.grids import randomised
from tests.hashhuman.part_rows import evaluate

SPEC = HashGridSpec(5, 2, 8, 4, 1.5)
SPECS = [SPEC, HashGridSpec(5, 2, 9, 3, 1.6)]


class Encoding(nn.Module):
    """Like `tinycudann.Encoding`: one flat parameter vector, features in half precision; computed by the torch grid."""

    def __init__(self, n_input_dims: int, encoding_config: dict) -> None:
        super().__init__()
        assert n_input_dims == 3 and encoding_config.pop("otype") == "HashGrid"
        features = encoding_config.pop("n_features_per_level")
        self.grid = [TorchHashGrids([HashGridSpec(features_per_level=features, **encoding_config)])]  # no submodule
        self.params = nn.Parameter(self.grid[0].table.detach().flatten())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of the entries in `params`, as they are now. Like the package, it refuses strided gradients."""
        assert not x.isnan().any() and len(x) > 0
        table = self.params.view(-1, self.grid[0].features_per_level)
        rows = PartRows.all_used([len(x)], x.device)
        features = torch.func.functional_call(self.grid[0], {"table": table}, (x, rows)).half()
        features.register_hook(_refuse_strided)
        return features


def _refuse_strided(gradient: torch.Tensor) -> None:
    if not gradient.is_contiguous():
        raise RuntimeError("Check failed: dL_doutput.is_contiguous()")


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A stand-in for tinycudann."""
    module = SimpleNamespace(Encoding=Encoding)
    monkeypatch.setitem(sys.modules, "tinycudann", module)
    return module


def test_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "tinycudann", None)
    with pytest.raises(UserError, match=r"package tinycudann, which is not installed.*choose encoder=auto"):
        TinyCudaHashGrids([SPEC])


def test_its_table_is_the_torch_grids(package):
    torch.manual_seed(0)
    tiny, reference = TinyCudaHashGrids(SPECS), randomised(TorchHashGrids(SPECS))
    tiny.load_state_dict(reference.state_dict())  # the same layout, so that checkpoints fit both
    assert list(tiny.state_dict()) == ["table"] and len(list(tiny.parameters())) == 1
    x = [torch.rand(50, 3), torch.rand(140, 3)]
    features = evaluate(tiny, *x)
    assert features.dtype == torch.float32 and tiny.n_features == reference.n_features
    torch.testing.assert_close(features, evaluate(reference, *x), atol=2e-3, rtol=1e-3)
    upstream = torch.randn_like(features)
    features.backward(upstream)
    evaluate(reference, *x).backward(upstream)
    torch.testing.assert_close(tiny.table.grad, reference.table.grad, atol=1e-2, rtol=1e-2)


def test_gradients_of_any_layout_reach_the_package(package):
    """What flows back from the networks is a transposed view."""
    tiny = TinyCudaHashGrids(SPECS)
    rows = PartRows.all_used([256, 128], "cpu")
    x, upstream = torch.rand(384, 3), torch.randn(SPEC.n_features, 384).t()
    gradients = []
    for given in (upstream, upstream.contiguous()):
        tiny.zero_grad()
        tiny(x, rows).backward(given)
        gradients.append(tiny.table.grad.clone())
    assert gradients[0].abs().max() > 0.01
    torch.testing.assert_close(*gradients)


def test_parts_without_rows_are_passed_over(package):
    """The package is not asked about nothing; its part of the table gets no gradient."""
    tiny, reference = TinyCudaHashGrids(SPECS), randomised(TorchHashGrids(SPECS))
    tiny.load_state_dict(reference.state_dict())
    rows, x = PartRows.all_used([0, 128], "cpu"), torch.rand(128, 3)
    features = tiny(x, rows)
    torch.testing.assert_close(features, reference(x, rows), atol=2e-3, rtol=1e-3)
    features.sum().backward()
    assert (tiny.table.grad[: SPECS[0].n_entries] == 0).all() and tiny.table.grad.abs().max() > 0
    nothing = PartRows.all_used([0, 0], "cpu")
    assert tiny(torch.zeros(0, 3), nothing).shape == (0, SPEC.n_features)


def test_a_build_for_another_card_keeps_its_cause(monkeypatch, tmp_path):
    """What the package raises where it was built for another architecture is no ImportError."""
    cause = "Could not find compatible tinycudann extension for compute capability 90."
    (tmp_path / "tinycudann.py").write_text(f"raise EnvironmentError({cause!r})")
    monkeypatch.delitem(sys.modules, "tinycudann", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=rf"is installed but does not import \(OSError: {cause[:-1]}\)"):
        TinyCudaHashGrids([SPEC])


def test_steps_of_the_optimizer_reach_the_package(package):
    tiny = TinyCudaHashGrids(SPECS)
    x, before = [torch.rand(5, 3), torch.rand(4, 3)], None
    for _ in range(2):
        optimizer = torch.optim.SGD(tiny.parameters(), 1.0)
        features = evaluate(tiny, *x)
        assert before is None or (features > before + 0.1).all()
        before = features.detach()
        optimizer.zero_grad()
        (-features.sum()).backward()
        optimizer.step()


def test_other_layouts_are_refused(package):
    package.Encoding = lambda *_: SimpleNamespace(params=torch.zeros(2 * SPEC.n_entries + 16))
    with pytest.raises(RuntimeError, match="lays out its parameters differently"):
        TinyCudaHashGrids([SPEC])


RANDOM = [
    HashGridSpec(4, 2, 10, 5, 1.31),
    HashGridSpec(7, 2, 14, 16, 1.38),
    HashGridSpec(3, 4, 12, 8, 2.0),
    HashGridSpec(12, 2, 15, 3, 1.47),
    HashGridSpec(5, 8, 11, 21, 1.17),
]


@pytest.mark.gpu
@pytest.mark.skipif(importlib.util.find_spec("tinycudann") is None, reason="tinycudann is not installed")
@pytest.mark.parametrize("spec", RANDOM, ids=str)
def test_the_package_computes_the_same(spec: HashGridSpec):
    """Features and gradients of one table, with two parts whose numbers of rows its batches do not divide.

    The package computes in half precision, so the same table is rounded to halves for both. Errors are relative to the
    whole: what half precision rounds in a single feature is no error of the layout.
    """
    specs = [spec, dataclasses.replace(spec, base_resolution=spec.base_resolution + 2)]
    tiny, reference = TinyCudaHashGrids(specs).cuda(), randomised(TorchHashGrids(specs)).cuda()
    with torch.no_grad():
        reference.table.copy_(reference.table.half())
    tiny.load_state_dict(reference.state_dict())
    rows = PartRows.all_used([128 * 23, 128 * 16], "cuda")
    x = torch.rand(rows.total, 3, device="cuda")
    upstream = torch.randn(spec.n_features, rows.total, device="cuda").t()
    mine, theirs = tiny(x, rows), reference(x, rows)
    assert relative(mine, theirs) < 2e-3
    mine.backward(upstream)
    theirs.backward(upstream)
    assert relative(tiny.table.grad, reference.table.grad) < 2e-3


def relative(mine: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((mine - theirs).norm() / theirs.norm())


@pytest.mark.gpu
@pytest.mark.skipif(importlib.util.find_spec("tinycudann") is None, reason="tinycudann is not installed")
def test_checkpoints_move_between_the_backends():
    reference = randomised(TorchHashGrids(SPECS)).cuda()
    rows, x = PartRows.all_used([256, 128], "cuda"), torch.rand(384, 3, device="cuda")
    for backend in (TinyCudaHashGrids, TritonHashGrids):
        other = backend(SPECS).cuda()
        other.load_state_dict(reference.state_dict())
        again = TorchHashGrids(SPECS).cuda()
        again.load_state_dict(other.state_dict())
        assert torch.equal(again.table, reference.table)
        assert relative(other(x, rows), reference(x, rows)) < 2e-3
