"""Emission-absorption volume rendering of packed samples.

Notation: N rays, M samples of all rays together. Max, "Optical Models for Direct Volume Rendering" (1995); NeRF (2020),
Eq. 3.
"""

import dataclasses

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.gpu.backend import chosen


@dataclasses.dataclass(frozen=True)
class Samples:
    """Points along rays, ray by ray and from near to far. Rays have as many as they need.

    With a fixed capacity, samples from start[N] on are unused, and rays whose samples exceed it are not complete.
    """

    ray: Int[Tensor, "M"]  # 0 where unused
    t: Float[Tensor, "M"]  # distance from the origin (m)
    delta: Float[Tensor, "M"]  # length that each sample stands for (m)
    start: Int[Tensor, "ends"]  # N + 1: samples of ray i are start[i] ... start[i + 1]
    complete: Bool[Tensor, "N"]
    needed: Int[Tensor, "1"]  # samples that a large enough capacity would have held


@dataclasses.dataclass(frozen=True)
class Rendering:
    """What rays see. Colours are premultiplied: composite over a background b as color + (1 - alpha) b."""

    color: Float[Tensor, "N 3"]
    alpha: Float[Tensor, "N"]
    depth: Float[Tensor, "N"]  # expected distance times alpha (m)
    weights: Float[Tensor, "M"]
    samples: Samples


def composite(
    color: Float[Tensor, "M 3"], density: Float[Tensor, "M"], samples: Samples, kernels: str = "auto"
) -> Rendering:
    """Alpha compositing, front to back; density in 1/m. `kernels`: auto, triton or torch."""
    if chosen(kernels, color.device):
        from hashhuman.renderer import volume_kernels

        seen = volume_kernels.composite(color, density, samples.t, samples.delta, samples.start)
        return Rendering(*seen, samples)
    n_rays = len(samples.start) - 1
    optical = density * samples.delta
    weights = torch.exp(-before(optical, samples)) * -torch.expm1(-optical)

    def per_ray(values: Tensor) -> Tensor:
        return values.new_zeros(n_rays, *values.shape[1:]).index_add(0, samples.ray, values)

    return Rendering(
        color=per_ray(weights[:, None] * color),
        alpha=per_ray(weights),
        depth=per_ray(weights * samples.t),
        weights=weights,
        samples=samples,
    )


def before(values: Float[Tensor, "M"], samples: Samples) -> Float[Tensor, "M"]:
    """The sum of the values of each sample's predecessors on its ray."""
    total = torch.nn.functional.pad(values.double().cumsum(0), (1, 0))  # double: differences of long sums are taken
    at_start = total.index_select(0, samples.start).index_select(0, samples.ray)
    return (total[:-1] - at_start).to(values.dtype)
