"""Networks in blocks against layer by layer."""

import pytest
import torch

from hashhuman.gpu.part_rows import PartRows
from hashhuman.network import blocked_mlp
from hashhuman.network.auto import AutoMLPs
from hashhuman.network.torch_mlp import TorchMLPs

SIZES, USED = (2560, 0, 128, 1152), (2500, 0, 1, 1024)  # more than two blocks, none, one row, exactly one block


@pytest.mark.parametrize("n_hidden", [0, 1, 2, 3])
def test_the_same_outputs(n_hidden: int):
    torch.manual_seed(0)
    rows = PartRows(SIZES, torch.tensor(USED, dtype=torch.int32))
    x = torch.randn(rows.total, 7)
    x[~rows.mask()] = torch.nan  # unused rows are not read
    mlps = TorchMLPs(len(SIZES), 7, 16, n_hidden, 5)
    assert blocked_mlp.BLOCK == 1024
    found = blocked_mlp.evaluate(mlps, x, rows)
    torch.testing.assert_close(found, mlps(x, rows).detach())
    assert (found[~rows.mask()] == 0).all() and found.abs().amax(1)[rows.mask()].min() > 0


def test_auto_keeps_gradients():
    rows = PartRows((128,), torch.tensor([100], dtype=torch.int32))
    mlps = AutoMLPs(1, 3, 8, 1, 2, precision="ieee")
    x = torch.randn(128, 3)
    mlps(x, rows).sum().backward()
    assert mlps.weights[0].grad.abs().max() > 0
    with torch.no_grad():
        torch.testing.assert_close(mlps(x, rows), TorchMLPs.forward(mlps, x, rows))
