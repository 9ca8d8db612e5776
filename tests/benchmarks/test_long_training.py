"""What a long training is looked at for."""

import math

import pytest
import torch
from torch import nn

from benchmarks import long_training
from hashhuman.training import losses
from tests.hashhuman.training.test_losses import make


def test_sizes_of_weights():
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, -4.0]]))
        layer.bias.fill_(-2.0)
    expected = {"rms weight": math.sqrt(12.5), "max weight": 4.0, "rms bias": 2.0, "max bias": 2.0}
    assert long_training.sizes(layer) == pytest.approx(expected)


class Scale(losses.Loss):
    """Half the square of a module's weights."""

    def __init__(self, weight: float, module: nn.Module) -> None:
        super().__init__(weight)
        self.scaled = [module]

    def forward(self, prediction):
        """It does not look at the prediction."""
        return 0.5 * sum((value.square().sum() for value in self.scaled[0].parameters()), torch.zeros(()))


def test_gradients_are_those_of_weighted_terms():
    layer = nn.Linear(2, 1)
    length = torch.cat([value.detach().flatten() for value in layer.parameters()]).norm().item()
    terms: dict[str, losses.Loss] = {
        "scale": Scale(3.0, layer),
        "off": Scale(0.0, layer),
        "constant": losses.PoseDistanceLoss(1.0, 1.0),  # poses are fixed
        "patches": losses.PatchLoss(1.0, nn.Identity(), (0.0, 1.0)),  # the batch has none
    }
    assert long_training.gradients(terms, make(), layer) == pytest.approx({"grad scale": 3 * length})
