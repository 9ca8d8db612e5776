"""Small fully connected networks."""

from torch import nn


def mlp(n_in: int, width: int, n_hidden: int, n_out: int) -> nn.Sequential:
    """`n_hidden` layers of `width` with ReLU, then a linear layer."""
    layers: list[nn.Module] = []
    for _ in range(n_hidden):
        layers += [nn.Linear(n_in, width), nn.ReLU(inplace=True)]
        n_in = width
    return nn.Sequential(*layers, nn.Linear(n_in, n_out))
