"""Networks of all parts in plain PyTorch. They run on every device; the Triton backend is tested against them."""

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hashhuman.gpu.part_rows import PartRows


class TorchMLPs(nn.Module):
    """One network for each of P parts: `n_hidden` layers of `width` with ReLU, then a linear layer.

    Each layer has weights (P, inputs, outputs) and biases (P, 1, outputs), initialised as in `nn.Linear`.

    Args:
        n_parts: number of networks (P).
        n_in: number of inputs.
        width: width of the hidden layers.
        n_hidden: number of hidden layers.
        n_out: number of outputs.
    """

    def __init__(self, n_parts: int, n_in: int, width: int, n_hidden: int, n_out: int) -> None:
        super().__init__()
        self.n_in, self.width, self.n_hidden, self.n_out = n_in, width, n_hidden, n_out
        widths = [n_in, *[width] * n_hidden, n_out]
        shapes = list(itertools.pairwise(widths))
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(n_parts, i, o)) for i, o in shapes)
        self.biases = nn.ParameterList(nn.Parameter(torch.empty(n_parts, 1, o)) for _, o in shapes)
        for weights, biases in zip(self.weights, self.biases):
            bound = 1 / math.sqrt(weights.shape[1])
            nn.init.uniform_(weights, -bound, bound)
            nn.init.uniform_(biases, -bound, bound)

    @property
    def last(self) -> tuple[Tensor, Tensor]:
        """Weights (P, inputs, outputs) and biases (P, 1, outputs) of the last layer."""
        return self.weights[-1], self.biases[-1]

    def forward(self, x: Float[Tensor, "M n_in"], rows: PartRows) -> Float[Tensor, "M n_out"]:
        """Output of the network of each row's part; 0 in unused rows."""
        real = rows.mask()[:, None]
        x = torch.where(real, x, 0)
        # Splitting and unbinding once makes one gradient of all parts; slices would each make one, mostly of zeros.
        layers = [(weights.unbind(), biases.unbind()) for weights, biases in zip(self.weights, self.biases)]
        outputs = []
        for p, y in enumerate(x.split(rows.sizes)):
            for layer, (weights, biases) in enumerate(layers):
                y = torch.addmm(biases[p], y.relu() if layer else y, weights[p])
            outputs.append(y)
        return torch.where(real, torch.cat(outputs), 0)
