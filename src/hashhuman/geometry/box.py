"""Axis-aligned boxes around bodies, and the rays that pass through them."""

import torch
from jaxtyping import Float
from torch import Tensor


def bounds(points: Float[Tensor, "V 3"], padding: float) -> Float[Tensor, "2 3"]:
    """Lowest and highest corner of the box around points, `padding` (m) larger on every side."""
    return torch.stack([points.amin(0) - padding, points.amax(0) + padding])


def intersect(
    origins: Float[Tensor, "N 3"],
    directions: Float[Tensor, "N 3"],
    low: Float[Tensor, "#N 3"],
    high: Float[Tensor, "#N 3"],
) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
    """Where each ray enters and leaves its box: metres along unit directions, not behind its origin.

    far < near where it misses. The slab method of Kay and Kajiya (1986).
    """
    safe = torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
    first, second = (low - origins) / safe, (high - origins) / safe
    near = torch.minimum(first, second).amax(1).clamp_min(0)
    far = torch.maximum(first, second).amin(1)
    return near, far
