"""Networks part by part, with gradients, against layer by layer."""

import pytest
import torch

from hashhuman.cpu import loops
from hashhuman.gpu.part_rows import PartRows
from hashhuman.network import part_mlp
from hashhuman.network.torch_mlp import TorchMLPs

SIZES, USED = (384, 0, 128, 640), (300, 0, 1, 640)


def networks(n_hidden: int) -> tuple[TorchMLPs, PartRows, torch.Tensor]:
    torch.manual_seed(0)
    rows = PartRows(SIZES, torch.tensor(USED, dtype=torch.int32))
    return TorchMLPs(len(SIZES), 7, 16, n_hidden, 5), rows, torch.randn(rows.total, 7, requires_grad=True)


@pytest.mark.parametrize("n_hidden", [0, 1, 2, 3])
def test_values_and_gradients(n_hidden: int):
    mlps, rows, x = networks(n_hidden)
    wanted = [x, *mlps.parameters()]
    upstream = torch.randn(rows.total, 5)
    results = []
    for evaluate in (part_mlp.evaluate, TorchMLPs.forward):
        out = evaluate(mlps, x, rows)
        results.append([out, *torch.autograd.grad((out * upstream).sum(), wanted)])
    for found, expected in zip(*results):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert all((gradient[0].abs().amax() > 0).all() for gradient in results[0][2:])
    assert (results[0][2][1] == 0).all()  # a part without rows


def test_positions_without_gradients():
    mlps, rows, x = networks(1)
    part_mlp.evaluate(mlps, x.detach(), rows).sum().backward()
    assert mlps.weights[0].grad is not None and mlps.weights[0].grad.abs().max() > 0


def test_unused_rows_are_not_read():
    mlps, rows, x = networks(2)
    with torch.no_grad():
        x[~rows.mask()] = torch.nan
    out = part_mlp.evaluate(mlps, x, rows)
    out.sum().backward()
    assert (out[~rows.mask()] == 0).all()
    assert all(parameter.grad.isfinite().all() for parameter in mlps.parameters())  # type: ignore[union-attr]


def test_threads_change_nothing():
    mlps, rows, x = networks(2)
    results = []
    for count in (1, 2, 3):
        loops.limit_threads(count)
        try:
            out = part_mlp.evaluate(mlps, x, rows)
            results.append([out, *torch.autograd.grad(out.square().sum(), [x, *mlps.parameters()])])
        finally:
            loops.limit_threads(None)
    for others in results[1:]:
        assert all(torch.equal(one, other) for one, other in zip(results[0], others))
