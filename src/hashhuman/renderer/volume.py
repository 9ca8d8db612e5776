"""Emission-absorption volume rendering of packed samples.

Notation: N rays, M samples of all rays. Max, "Optical Models for Direct Volume Rendering" (1995); NeRF (Mildenhall et
al., ECCV 2020), Eq. 3.
"""

import dataclasses

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.gpu.backend import chosen, looped


@dataclasses.dataclass(frozen=True)
class Samples:
    """Packed samples: ray by ray, from near to far. The number of samples differs from ray to ray.

    With a fixed capacity, samples from start[N] on are unused. Rays whose samples did not all fit are not complete.
    """

    ray: Int[Tensor, "M"]  # index of the ray; 0 in unused samples
    t: Float[Tensor, "M"]  # distance from the ray's origin (m)
    delta: Float[Tensor, "M"]  # length of the interval that the sample represents (m)
    start: Int[Tensor, "ends"]  # N + 1 entries: the samples of ray i are start[i], ..., start[i + 1] - 1
    complete: Bool[Tensor, "N"]  # whether all samples of the ray fit
    needed: Int[Tensor, "1"]  # number of samples that all rays need, whatever the capacity

    def of(self, rays: Int[Tensor, "K"], first: int, count: int) -> "Samples":
        """Of each of these rays, its samples from number `first` (from 0), at most `count`. The host waits."""
        begin = self.start.index_select(0, rays) + first
        counts = (self.start.index_select(0, rays + 1) - begin).clamp(0, count)
        start = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
        ray = torch.repeat_interleave(counts)
        place = torch.arange(len(ray), device=ray.device) + (begin - start[:-1]).index_select(0, ray)
        t, delta = self.t.index_select(0, place), self.delta.index_select(0, place)
        return Samples(ray, t, delta, start, self.complete[rays], start[-1:])


@dataclasses.dataclass(frozen=True)
class Rendering:
    """Rendered rays. Colours are premultiplied: composite over a background b as color + (1 - alpha) b."""

    color: Float[Tensor, "N 3"]  # premultiplied RGB
    alpha: Float[Tensor, "N"]  # opacity
    depth: Float[Tensor, "N"]  # expected distance times alpha (m)
    weights: Float[Tensor, "M"]  # share of each sample in its ray's colour
    samples: Samples


def composite(
    color: Float[Tensor, "M 3"], density: Float[Tensor, "M"], samples: Samples, kernels: str = "auto"
) -> Rendering:
    """Composites samples front to back.

    Args:
        color: RGB of the samples.
        density: 1/m.
        kernels: auto, triton, numba or torch.
    """
    if chosen(kernels, color.device):
        from hashhuman.renderer import volume_kernels

        seen = volume_kernels.composite(color, density, samples.t, samples.delta, samples.start)
        return Rendering(*seen, samples)
    if looped(kernels, color.device):
        from hashhuman.renderer import volume_loops

        return Rendering(*volume_loops.composite(color, density, samples.t, samples.delta, samples.start), samples)
    n_rays = len(samples.start) - 1
    weights = weigh(density, samples)

    def per_ray(values: Tensor) -> Tensor:
        return values.new_zeros(n_rays, *values.shape[1:]).index_add(0, samples.ray, values)

    return Rendering(
        color=per_ray(weights[:, None] * color),
        alpha=per_ray(weights),
        depth=per_ray(weights * samples.t),
        weights=weights,
        samples=samples,
    )


def weigh(density: Float[Tensor, "M"], samples: Samples, kernels: str = "torch") -> Float[Tensor, "M"]:
    """Each sample's share in its ray's colour, from the densities (1/m) of all samples; `kernels` numba or torch."""
    if looped(kernels, density.device):
        from hashhuman.renderer import volume_loops

        return volume_loops.weigh(density, samples.delta, samples.start)
    optical = density * samples.delta
    return torch.exp(-before(optical, samples)) * -torch.expm1(-optical)


def before(values: Float[Tensor, "M"], samples: Samples) -> Float[Tensor, "M"]:
    """For each sample, the sum of the values of the samples before it on its ray."""
    total = torch.nn.functional.pad(values.double().cumsum(0), (1, 0))  # double: long sums are subtracted below
    at_start = total.index_select(0, samples.start).index_select(0, samples.ray)
    return (total[:-1] - at_start).to(values.dtype)
