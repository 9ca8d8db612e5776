"""Compositing in loops for the CPU, without gradients: one pass over the samples of each ray."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

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

    Returns:
        The first four fields of `Rendering`.
    """
    weights = weigh(density, delta, start)
    sums = torch.zeros(len(start) - 1, 5)
    in_parallel(_sum, len(sums), weights.numpy(), array(color), array(t), start.numpy(), sums.numpy())
    return sums[:, :3], sums[:, 3], sums[:, 4], weights
