"""The tiny-cuda-nn backend, with a stand-in for the package, and against the torch grid if the package is installed."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hashhuman.encoder.spec import HashGridSpec
from hashhuman.encoder.tinycudann_grid import TinyCudaHashGrids
from hashhuman.encoder.torch_grid import TorchHashGrids
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
        """Features of the entries in `params`, as they are now."""
        assert not x.isnan().any()
        table = self.params.view(-1, self.grid[0].features_per_level)
        rows = PartRows.all_used([len(x)], x.device)
        return torch.func.functional_call(self.grid[0], {"table": table}, (x, rows)).half()


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


@pytest.mark.gpu
@pytest.mark.skipif(importlib.util.find_spec("tinycudann") is None, reason="tinycudann is not installed")
def test_the_package_computes_the_same():
    tiny, reference = TinyCudaHashGrids(SPECS).cuda(), randomised(TorchHashGrids(SPECS)).cuda()
    tiny.load_state_dict(reference.state_dict())
    rows = PartRows.all_used([3072, 2048], "cuda")
    x = torch.rand(rows.total, 3, device="cuda")
    upstream = torch.randn(rows.total, SPEC.n_features, device="cuda")
    torch.testing.assert_close(tiny(x, rows), reference(x, rows), atol=1e-2, rtol=1e-2)
    tiny(x, rows).backward(upstream)
    reference(x, rows).backward(upstream)
    torch.testing.assert_close(tiny.table.grad, reference.table.grad, atol=0.5, rtol=2e-2)
