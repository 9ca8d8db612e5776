"""The tiny-cuda-nn backend, with a stand-in for the package, and against the torch grid where the package is."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hashhuman.encoder.spec import HashGridSpec
from hashhuman.encoder.tinycudann_grid import TinyCudaHashGrid
from hashhuman.encoder.torch_grid import TorchHashGrid
from hashhuman.errors import UserError

SPEC = HashGridSpec(5, 2, 8, 4, 1.5)


class Encoding(nn.Module):
    """Like `tinycudann.Encoding`: one flat parameter vector, features in half precision; computed by the torch grid."""

    def __init__(self, n_input_dims: int, encoding_config: dict) -> None:
        super().__init__()
        assert n_input_dims == 3 and encoding_config.pop("otype") == "HashGrid"
        features = encoding_config.pop("n_features_per_level")
        self.grid = [TorchHashGrid(HashGridSpec(features_per_level=features, **encoding_config))]  # no submodule
        self.params = nn.Parameter(self.grid[0].table.detach().flatten())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of the entries in `params`, as they are now."""
        table = self.params.view(-1, self.grid[0].spec.features_per_level)
        return torch.func.functional_call(self.grid[0], {"table": table}, (x,)).half()


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A stand-in for tinycudann."""
    module = SimpleNamespace(Encoding=Encoding)
    monkeypatch.setitem(sys.modules, "tinycudann", module)
    return module


def test_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "tinycudann", None)
    with pytest.raises(UserError, match=r"package tinycudann, which is not installed.*choose encoder=torch"):
        TinyCudaHashGrid(SPEC)


def test_its_table_is_the_torch_grids(package):
    torch.manual_seed(0)
    tiny, reference = TinyCudaHashGrid(SPEC), TorchHashGrid(SPEC)
    with torch.no_grad():
        reference.table.normal_()
    tiny.load_state_dict(reference.state_dict())  # one layout: checkpoints fit both
    assert list(tiny.state_dict()) == ["table"] and len(list(tiny.parameters())) == 1
    x = torch.rand(50, 3)
    features = tiny(x)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, reference(x), atol=2e-3, rtol=1e-3)
    upstream = torch.randn_like(features)
    features.backward(upstream)
    reference(x).backward(upstream)
    torch.testing.assert_close(tiny.table.grad, reference.table.grad, atol=1e-2, rtol=1e-2)


def test_steps_of_the_optimizer_reach_the_package(package):
    tiny = TinyCudaHashGrid(SPEC)
    x, before = torch.rand(5, 3), None
    for _ in range(2):
        optimizer = torch.optim.SGD(tiny.parameters(), 1.0)
        features = tiny(x)
        assert before is None or (features > before + 0.1).all()
        before = features.detach()
        optimizer.zero_grad()
        (-features.sum()).backward()
        optimizer.step()


def test_other_layouts_are_refused(package):
    package.Encoding = lambda *_: SimpleNamespace(params=torch.zeros(2 * SPEC.n_entries + 16))
    with pytest.raises(RuntimeError, match="lays out its parameters differently"):
        TinyCudaHashGrid(SPEC)


@pytest.mark.gpu
@pytest.mark.skipif(importlib.util.find_spec("tinycudann") is None, reason="tinycudann is not installed")
def test_the_package_computes_the_same():
    tiny, reference = TinyCudaHashGrid(SPEC).cuda(), TorchHashGrid(SPEC).cuda()
    with torch.no_grad():
        reference.table.normal_()
    tiny.load_state_dict(reference.state_dict())
    x = torch.rand(5000, 3, device="cuda")
    upstream = torch.randn(5000, SPEC.n_features, device="cuda")
    torch.testing.assert_close(tiny(x), reference(x), atol=1e-2, rtol=1e-2)
    tiny(x).backward(upstream)
    reference(x).backward(upstream)
    torch.testing.assert_close(tiny.table.grad, reference.table.grad, atol=0.5, rtol=2e-2)
