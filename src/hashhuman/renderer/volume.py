"""Emission-absorption volume rendering.

Notation: N rays, S samples a ray. Max, "Optical Models for Direct Volume Rendering" (1995); NeRF (2020), Eq. 3.
"""

import dataclasses

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Rays:
    """World-space rays, each of one frame."""

    origins: Float[Tensor, "N 3"]  # metres
    directions: Float[Tensor, "N 3"]  # unit
    frames: Int[Tensor, "N"]  # which posed body

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, rows: slice | Tensor) -> "Rays":
        return Rays(self.origins[rows], self.directions[rows], self.frames[rows])


@dataclasses.dataclass(frozen=True)
class Samples:
    """Points along rays."""

    t: Float[Tensor, "N S"]  # distance from the origin (m), ascending
    delta: Float[Tensor, "N S"]  # length that each sample stands for (m)
    valid: Bool[Tensor, "N S"]

    def __getitem__(self, rows: slice | Tensor) -> "Samples":
        return Samples(self.t[rows], self.delta[rows], self.valid[rows])


@dataclasses.dataclass(frozen=True)
class Rendering:
    """What rays see. Colours are premultiplied: composite over a background b as color + (1 - alpha) b."""

    color: Float[Tensor, "N 3"]
    alpha: Float[Tensor, "N"]
    depth: Float[Tensor, "N"]  # expected distance times alpha (m)
    weights: Float[Tensor, "N S"]
    samples: Samples


def composite(color: Float[Tensor, "N S 3"], density: Float[Tensor, "N S"], samples: Samples) -> Rendering:
    """Alpha compositing, front to back; density in 1/m."""
    optical = torch.where(samples.valid, density * samples.delta, 0)
    before = torch.nn.functional.pad(
        optical.cumsum(1)[:, :-1], (1, 0)
    )  # subtracting `optical` again would cancel digits
    weights = torch.exp(-before) * -torch.expm1(-optical)
    return Rendering(
        color=(weights[..., None] * color).sum(1),
        alpha=weights.sum(1),
        depth=(weights * samples.t).sum(1),
        weights=weights,
        samples=samples,
    )
