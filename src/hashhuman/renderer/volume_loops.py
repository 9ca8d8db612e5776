"""Compositing in loops for the CPU, forward and backward: one pass over the samples of each ray."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from hashhuman.cpu.loops import array, compiled, in_parallel


@compiled
def _weigh(first, last, density, delta, start, out):
    """Writes each sample's share in its ray's colour."""
    for ray in range(first, last):
        passed = np.float32(1)  # share of the light that passes all samples so far
        for i in range(start[ray], start[ray + 1]):
            stopped = np.float32(-np.expm1(-density[i] * delta[i]))
            out[i] = passed * stopped
            passed *= np.float32(1) - stopped


@compiled
def _sum(first, last, weights, color, t, start, sums):
    """Writes each ray's premultiplied colour, opacity and premultiplied depth."""
    for ray in range(first, last):
        r = g = b = alpha = depth = np.float32(0)
        for i in range(start[ray], start[ray + 1]):
            w = weights[i]
            r, g, b = r + w * color[i, 0], g + w * color[i, 1], b + w * color[i, 2]
            alpha, depth = alpha + w, depth + w * t[i]
        sums[ray, 0], sums[ray, 1], sums[ray, 2], sums[ray, 3], sums[ray, 4] = r, g, b, alpha, depth


@compiled
def _gradients(first, last, density, delta, start, weights, color, t, of_sums, of_weights, of_color, of_density):
    """Writes the gradients of the samples' colours and densities."""
    for ray in range(first, last):
        r, g, b, alpha, depth = of_sums[ray]
        passed = np.float32(1)  # share of the light that passes a sample and all before it
        for i in range(start[ray], start[ray + 1]):
            w = weights[i]
            of_color[i, 0], of_color[i, 1], of_color[i, 2] = w * r, w * g, w * b
            passed *= np.exp(-density[i] * delta[i])
            of_density[i] = passed
        behind = np.float32(0)  # what the samples behind contribute to the loss, in its linear approximation
        for i in range(start[ray + 1] - 1, start[ray] - 1, -1):
            here = r * color[i, 0] + g * color[i, 1] + b * color[i, 2] + alpha + depth * t[i] + of_weights[i]
            of_density[i] = delta[i] * (here * of_density[i] - behind)
            behind += here * weights[i]


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, color: Tensor, density: Tensor, t: Tensor, delta: Tensor, start: Tensor):
        weights = weigh(density, delta, start)
        sums = torch.zeros(len(start) - 1, 5)
        in_parallel(_sum, len(sums), weights.numpy(), array(color), array(t), start.numpy(), sums.numpy())
        ctx.save_for_backward(color, density, t, delta, start, weights)
        return sums, weights

    @staticmethod
    @once_differentiable  # a second derivative raises, instead of being taken for zero
    def backward(ctx: Any, *grads: Tensor):
        color, density, t, delta, start, weights = ctx.saved_tensors
        of_color, of_density = torch.zeros(color.shape), torch.zeros(density.shape)
        inputs = map(array, (weights, color, t, *grads))
        outputs = of_color.numpy(), of_density.numpy()
        in_parallel(_gradients, len(start) - 1, array(density), array(delta), start.numpy(), *inputs, *outputs)
        return of_color, of_density, None, None, None


def weigh(density: Float[Tensor, "M"], delta: Float[Tensor, "M"], start: Int[Tensor, "ends"]) -> Float[Tensor, "M"]:
    """Each sample's share in its ray's colour, as by `volume.weigh`; the arguments are those of `composite`."""
    out = torch.zeros_like(density)
    in_parallel(_weigh, len(start) - 1, array(density), array(delta), start.numpy(), out.numpy())
    return out


def composite(
    color: Float[Tensor, "M 3"],
    density: Float[Tensor, "M"],
    t: Float[Tensor, "M"],
    delta: Float[Tensor, "M"],
    start: Int[Tensor, "ends"],
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"], Float[Tensor, "N"], Float[Tensor, "M"]]:
    """Composites samples as `volume.composite` does; `t`, `delta` and `start` are those of `Samples`.

    Differentiable with respect to colour and density.

    Returns:
        The first four fields of `Rendering`.
    """
    sums, weights = _Composite.apply(color, density, t, delta, start)  # type: ignore[misc]
    return sums[:, :3], sums[:, 3], sums[:, 4], weights
