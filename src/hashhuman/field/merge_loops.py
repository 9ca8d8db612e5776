"""The choice of the densest part in a loop for the CPU."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.cpu.loops import array, compiled, in_parallel


@compiled
def _winners(first, last, density, slots, row):
    for point in range(first, last):
        for part in range(len(slots)):
            slot = slots[part, point]
            if slot >= 0 and (row[point] < 0 or density[slot] > density[row[point]]):
                row[point] = slot


def winners(density: Float[Tensor, "M"], slots: Int[Tensor, "P N"]) -> Int[Tensor, "N"]:
    """The row with the highest density of each point; -1 for points without rows. Arguments are as for `merge`."""
    row = torch.full(slots.shape[1:], -1)
    in_parallel(_winners, len(row), array(density), array(slots, torch.long), row.numpy())
    return row
