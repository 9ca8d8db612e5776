"""Axis-aligned boxes around bodies, and the rays that pass through them."""

import torch
from jaxtyping import Float
from torch import Tensor


def bounds(points: Float[Tensor, "V 3"], padding: float) -> Float[Tensor, "2 3"]:
    """Lowest and highest corner of the box around points, `padding` (m) larger on every side."""
    return torch.stack([points.amin(0) - padding, points.amax(0) + padding])


def intersect(
    rays_o: Float[Tensor, "N 3"],
    rays_d: Float[Tensor, "N 3"],
    low: Float[Tensor, "#N 3"],
    high: Float[Tensor, "#N 3"],
) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
    """Where each ray enters and leaves its box: metres along unit directions, not behind its origin.

    far < near where it misses. The slab method of Kay and Kajiya (1986).
    """
    safe = torch.where(rays_d.abs() < 1e-9, torch.full_like(rays_d, 1e-9), rays_d)
    first, second = (low - rays_o) / safe, (high - rays_o) / safe
    near = torch.minimum(first, second).amax(1).clamp_min(0)
    far = torch.maximum(first, second).amin(1)
    return near, far
