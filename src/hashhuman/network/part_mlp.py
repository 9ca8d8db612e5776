"""Evaluates the networks of all parts on a CPU, with gradients: each part's on one core."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from hashhuman.cpu.loops import in_shares
from hashhuman.gpu.part_rows import PartRows
from hashhuman.network.torch_mlp import TorchMLPs


def evaluate(mlps: TorchMLPs, x: Float[Tensor, "M n_in"], rows: PartRows) -> Float[Tensor, "M n_out"]:
    """Output of the network of each row's part, as `TorchMLPs.forward` computes it; 0 in unused rows.

    A part is one thread's, so that no sum depends on how many there are.
    """
    return _Evaluate.apply(x, rows, *mlps.weights, *mlps.biases)  # type: ignore[return-value]


class _Evaluate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: PartRows, *parameters: Tensor) -> Tensor:
        used, n_layers = rows.used.tolist(), len(parameters) // 2
        layers = [(w.unbind(), b.unbind()) for w, b in zip(parameters[:n_layers], parameters[n_layers:])]
        values = [x, *(x.new_empty(rows.total, w.shape[2]) for w in parameters[: n_layers - 1])]
        values.append(x.new_zeros(rows.total, parameters[n_layers - 1].shape[2]))
        spans = [slice(start, start + n) for start, n in zip(rows.starts, used)]

        @torch.no_grad()  # other threads have their own mode
        def forward(part: int) -> None:
            for i, (weights, biases) in enumerate(layers):
                to = values[i + 1][spans[part]]
                torch.addmm(biases[part], values[i][spans[part]], weights[part], out=to)
                if i + 1 < n_layers:
                    to.relu_()

        in_shares(forward, used)
        ctx.save_for_backward(*values[:-1], *parameters[:n_layers])
        ctx.spans, ctx.used, ctx.n_layers = spans, used, n_layers
        return values[-1]

    @staticmethod
    @once_differentiable  # a second derivative raises, instead of being taken for zero
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        upstream, n_layers = grads[0], ctx.n_layers
        values, weights = ctx.saved_tensors[:n_layers], ctx.saved_tensors[n_layers:]
        of_x = torch.zeros_like(values[0]) if ctx.needs_input_grad[0] else None
        of_weights = [torch.zeros_like(w) for w in weights]
        of_biases = [w.new_zeros(len(w), 1, w.shape[2]) for w in weights]

        @torch.no_grad()
        def backward(part: int) -> None:
            span = ctx.spans[part]
            g = upstream[span]
            for i in reversed(range(n_layers)):
                y = values[i][span]
                torch.mm(y.t(), g, out=of_weights[i][part])
                torch.sum(g, 0, keepdim=True, out=of_biases[i][part])
                if i:
                    g = torch.ops.aten.threshold_backward(g @ weights[i][part].t(), y, 0)  # that of ReLU
                elif of_x is not None:
                    torch.mm(g, weights[0][part].t(), out=of_x[span])

        in_shares(backward, ctx.used)
        return of_x, None, *of_weights, *of_biases
