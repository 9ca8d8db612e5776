"""Evaluates the networks of all parts on a CPU, without gradients."""

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.gpu.part_rows import PartRows
from hashhuman.network.torch_mlp import TorchMLPs

BLOCK = 1024  # rows; the hidden layers of so many stay in a core's cache


@torch.no_grad()
def evaluate(mlps: TorchMLPs, x: Float[Tensor, "M n_in"], rows: PartRows) -> Float[Tensor, "M n_out"]:
    """Output of the network of each row's part, as `TorchMLPs.forward` computes it; 0 in unused rows.

    Block by block, it goes through all layers. Layer by layer, as with gradients, hidden values of all rows would be
    written to memory and read again.
    """
    out = x.new_zeros(rows.total, mlps.n_out)
    hidden = [x.new_empty(BLOCK, mlps.width) for _ in range(2)]
    layers = [(weights.unbind(), biases.unbind()) for weights, biases in zip(mlps.weights, mlps.biases)]
    for part, (start, used) in enumerate(zip(rows.starts, rows.used.tolist())):
        for first in range(start, start + used, BLOCK):
            last = min(first + BLOCK, start + used)
            y = x[first:last]
            for i, (weights, biases) in enumerate(layers[:-1]):
                y = torch.addmm(biases[part], y, weights[part], out=hidden[i % 2][: last - first]).relu_()
            weights, biases = layers[-1]
            torch.addmm(biases[part], y, weights[part], out=out[first:last])
    return out
