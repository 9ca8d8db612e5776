"""Axis-aligned boxes around points, and their intersections with rays."""

import torch
from jaxtyping import Float
from torch import Tensor


def bounds(points: Float[Tensor, "V 3"], padding: float) -> Float[Tensor, "2 3"]:
    """The lowest and the highest corner (m) of the box around points (m), enlarged by `padding` (m) on every side."""
    return torch.stack([points.amin(0) - padding, points.amax(0) + padding])


def intersect(
    rays_o: Float[Tensor, "N 3"],
    rays_d: Float[Tensor, "N 3"],
    low: Float[Tensor, "#N 3"],
    high: Float[Tensor, "#N 3"],
) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
    """The distances `near` and `far` (m) at which each ray enters and leaves its box, by slabs (Kay and Kajiya, 1986).

    Args:
        rays_o: origins (m).
        rays_d: unit directions.
        low: lowest corner of each ray's box, or one for all (m), in the frame of the rays.
        high: highest corner, likewise.

    Returns:
        `near`, at least 0, and `far`. A ray that misses its box has far < near.
    """
    safe = torch.where(rays_d.abs() < 1e-9, torch.full_like(rays_d, 1e-9), rays_d)
    first, second = (low - rays_o) / safe, (high - rays_o) / safe
    near = torch.minimum(first, second).amax(1).clamp_min(0)
    far = torch.maximum(first, second).amin(1)
    return near, far
