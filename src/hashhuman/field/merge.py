"""Where several parts claim a point, the densest wins."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.gpu.backend import chosen


def merge(
    color: Float[Tensor, "M 3"], density: Float[Tensor, "M"], slots: Int[Tensor, "P N"], kernels: str = "auto"
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"]]:
    """Colour and density of each point from its rows (`CanonicalPairs.slots`); zero where it has none."""
    if chosen(kernels, color.device):
        from hashhuman.field import merge_kernels

        return merge_kernels.merge(color, density, slots)
    row = winners(density, slots)
    color, density = torch.cat([color, color.new_zeros(1, 3)]), torch.cat([density, density.new_zeros(1)])
    row = torch.where(row < 0, len(density) - 1, row)  # the last one is for points without rows
    return color.index_select(0, row), density.index_select(0, row)


def winners(density: Float[Tensor, "M"], slots: Int[Tensor, "P N"]) -> Int[Tensor, "N"]:
    """The densest row of each point; -1 where it has none."""
    candidates = torch.cat([density.detach(), density.new_full((1,), -1.0)])[slots]  # slot -1 reads the last one
    return slots.gather(0, candidates.argmax(0, keepdim=True))[0]
