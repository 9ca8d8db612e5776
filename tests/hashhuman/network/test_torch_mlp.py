"""The torch networks by hand, against `nn.Sequential`, and their gradients."""

import math

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from hashhuman.gpu.part_rows import GRANULE
from hashhuman.network.torch_mlp import TorchMLPs
from tests.hashhuman.part_rows import evaluate, gather, rows_of, spread


def test_by_hand():
    """One input, two hidden units, one output: relu(x - 1) + 10 relu(2 - x) + 0.5."""
    mlps = TorchMLPs(1, 1, 2, 1, 1)
    with torch.no_grad():
        mlps.weights[0].copy_(torch.tensor([[[1.0, -1.0]]]))
        mlps.biases[0].copy_(torch.tensor([[[-1.0, 2.0]]]))
        mlps.weights[1].copy_(torch.tensor([[[1.0], [10.0]]]))
        mlps.biases[1].copy_(torch.tensor([[[0.5]]]))
    x = torch.tensor([[-1.0], [0.0], [1.5], [4.0]])
    torch.testing.assert_close(evaluate(mlps, x), torch.tensor([[30.5], [20.5], [6.0], [3.5]]))


@pytest.mark.parametrize("n_hidden", [0, 1, 2])
def test_each_part_has_a_network_of_its_own(n_hidden: int):
    mlps = TorchMLPs(2, 5, 8, n_hidden, 3)
    xs = [torch.randn(4, 5), torch.randn(130, 5)]
    expected = []
    for part, x in enumerate(xs):
        layers = []
        for weights, biases in zip(mlps.weights, mlps.biases):
            linear = nn.Linear(*weights[part].shape)
            linear.weight.data, linear.bias.data = weights[part].detach().t(), biases[part, 0].detach()
            layers += [linear, nn.ReLU()]
        expected.append(nn.Sequential(*layers[:-1])(x))
    torch.testing.assert_close(evaluate(mlps, *xs), torch.cat(expected))


def test_starts_as_linear_layers_do():
    mlps = TorchMLPs(3, 25, 64, 2, 40)
    for parameters, n_in in zip([*mlps.weights, *mlps.biases], 2 * [25, 64, 64]):
        bound = 1 / math.sqrt(n_in)
        assert 0.9 * bound < parameters.abs().max() <= bound
    assert not torch.equal(mlps.weights[1][0], mlps.weights[1][1])


def test_the_last_layer_can_start_from_zero():
    mlps = TorchMLPs(2, 3, 4, 1, 5)
    for parameter in mlps.last:
        nn.init.zeros_(parameter)
    assert (evaluate(mlps, torch.randn(6, 3), torch.randn(7, 3)) == 0).all()


def test_gradients_by_finite_differences():
    mlps = TorchMLPs(2, 2, 3, 2, 2).double()
    rows = rows_of(2, 1)
    x = torch.randn(3, 2, dtype=torch.double, requires_grad=True)
    names = list(mlps.state_dict())

    def outputs(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        state = dict(zip(names, parameters))
        out = torch.func.functional_call(mlps, state, (spread(x.split([2, 1]), rows), rows))
        return torch.cat(gather(out, rows))

    assert gradcheck(outputs, (x, *(mlps.state_dict(keep_vars=True)[name] for name in names)))


def test_no_gradient_comes_from_unused_rows():
    mlps = TorchMLPs(1, 2, 3, 1, 2)
    rows = rows_of(3, spare=GRANULE)
    x = spread([torch.randn(3, 2)], rows).requires_grad_()
    mlps(x, rows).backward(spread([torch.ones(3, 2)], rows))
    assert x.grad.isfinite().all() and (x.grad[3:] == 0).all()
    torch.testing.assert_close(mlps.last[1].grad, torch.full((1, 1, 2), 3.0))


def test_no_rows_at_all():
    assert evaluate(TorchMLPs(2, 2, 3, 1, 2), torch.randn(0, 2), torch.randn(0, 2)).shape == (0, 2)
