"""Merges the parts: of several parts that contain a point, the one with the highest density determines its value."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.gpu.backend import chosen, looped


def merge(
    color: Float[Tensor, "M 3"], density: Float[Tensor, "M"], slots: Int[Tensor, "P N"], kernels: str = "auto"
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"]]:
    """Colour and density (1/m) of each point: those of its row with the highest density; zero if it has no row.

    Follows instant-nvr (Geng et al. 2023), Sec. 3.2.

    Args:
        color: RGB of M rows.
        density: density of the rows (1/m).
        slots: the row of each of N points in each of P parts, -1 for none (`CanonicalPairs.slots`).
        kernels: auto, triton, numba or torch.
    """
    if chosen(kernels, color.device):
        from hashhuman.field import merge_kernels

        return merge_kernels.merge(color, density, slots)
    if looped(kernels, color.device):
        from hashhuman.field import merge_loops

        return merge_loops.merge(color, density, slots)
    row = winners(density, slots)
    color, density = torch.cat([color, color.new_zeros(1, 3)]), torch.cat([density, density.new_zeros(1)])
    row = torch.where(row < 0, len(density) - 1, row)  # points without rows read the zeros at the end
    return color.index_select(0, row), density.index_select(0, row)


def densest(density: Float[Tensor, "M"], slots: Int[Tensor, "P N"], kernels: str = "auto") -> Int[Tensor, "N"]:
    """The row with the highest density of each point; -1 for points without rows. Arguments are as for `merge`."""
    if looped(kernels, density.device):
        from hashhuman.field import merge_loops

        return merge_loops.winners(density, slots)
    return winners(density, slots)


def winners(density: Float[Tensor, "M"], slots: Int[Tensor, "P N"]) -> Int[Tensor, "N"]:
    """The row with the highest density of each point; -1 for points without rows. Arguments are as for `merge`."""
    candidates = torch.cat([density.detach(), density.new_full((1,), -1.0)])[slots]  # slot -1 reads the last entry
    return slots.gather(0, candidates.argmax(0, keepdim=True))[0]
