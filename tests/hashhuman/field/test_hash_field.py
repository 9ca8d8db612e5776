"""One grid with its networks."""

import pytest
import torch

from hashhuman.field.conditions import Orientation
from hashhuman.field.hash_field import HashField, _TruncatedExp
from hashhuman.field.mlp import mlp
from tests.hashhuman import small


def made(conditions=(), density_scale: float = 10.0) -> HashField:
    torch.manual_seed(0)
    grid = small.encoder()(extent=2.0)
    return HashField(torch.tensor([-1.0, 0.0, -1.0]), 2.0, grid, list(conditions), 16, density_scale)


def test_untrained_density_and_colour():
    field, x = made(), 2 * torch.rand(100, 3) - torch.tensor([1.0, 0.0, 1.0])
    color, density = field(small.pairs(x, [100]))
    assert color.shape == (100, 3) and (color > 0.2).all() and (color < 0.8).all()
    assert (density > 5).all() and (density < 20).all()  # about density_scale everywhere
    thin = made(density_scale=0.1)(small.pairs(x, [100]))[1]
    torch.testing.assert_close(thin, density / 100)


def test_the_cube_spans_the_grid_and_ends_there():
    field = made()
    seen = []
    field.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    field(small.pairs(torch.tensor([[-1.0, 0.0, -1.0], [1.0, 2.0, 1.0], [0.0, 0.5, -0.5], [9.0, -9.0, 0.0]]), [4]))
    expected = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.5, 0.25, 0.25], [1.0, 0.0, 0.5]])
    torch.testing.assert_close(seen[0], expected)


def test_density_does_not_depend_on_the_conditions():
    field, x = made([Orientation(1)]), torch.rand(20, 3)
    color, density = field(small.pairs(x, [20]))
    turned = -torch.eye(3).expand(20, 3, 3)
    other, same = field(small.pairs(x, [20], rotation=turned))
    torch.testing.assert_close(same, density)
    assert (other - color).abs().max() > 0.01


def test_exponential_with_a_tame_gradient():
    x = torch.tensor([-20.0, -1.0, 3.0, 12.0, 40.0], requires_grad=True)
    y = _TruncatedExp.apply(x)
    torch.testing.assert_close(y, torch.tensor([-20.0, -1.0, 3.0, 12.0, 15.0]).exp())
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([-15.0, -1.0, 3.0, 10.0, 10.0]).exp())


@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_networks(hidden: int):
    layers = [layer for layer in mlp(3, 7, hidden, 2) if isinstance(layer, torch.nn.Linear)]
    assert [layer.in_features for layer in layers] == [3, 7, 7][: hidden + 1]
    assert [layer.out_features for layer in layers] == [7] * hidden + [2]
