"""The choice of the densest part in loops for the CPU."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from hashhuman.cpu.loops import array, compiled, in_parallel

AT_LEAST = 1 << 14  # points of a thread, since a point takes some nanoseconds


@compiled
def _winners(first, last, density, slots, row):
    for point in range(first, last):
        for part in range(len(slots)):
            slot = slots[part, point]
            if slot >= 0 and (row[point] < 0 or density[slot] > density[row[point]]):
                row[point] = slot


@compiled
def _take(first, last, row, color, density, color_out, density_out):
    """Copies the winning rows to their points."""
    for point in range(first, last):
        if row[point] >= 0:
            color_out[point], density_out[point] = color[row[point]], density[row[point]]


@compiled
def _give(first, last, row, of_color, of_density, color_out, density_out):
    """Copies the points' gradients to the winning rows, of which each has one point."""
    for point in range(first, last):
        if row[point] >= 0:
            color_out[row[point]], density_out[row[point]] = of_color[point], of_density[point]


class _Merge(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, color: Tensor, density: Tensor, slots: Tensor):
        row = winners(density, slots)
        merged = color.new_zeros(len(row), 3), density.new_zeros(len(row))
        arrays = map(array, (color, density, *merged))
        in_parallel(_take, len(row), row.numpy(), *arrays, at_least=AT_LEAST)
        ctx.row, ctx.n_rows = row, len(density)
        return merged

    @staticmethod
    @once_differentiable  # a second derivative raises, instead of being taken for zero
    def backward(ctx: Any, *grads: Tensor):
        of_rows = torch.zeros(ctx.n_rows, 3), torch.zeros(ctx.n_rows)
        in_parallel(_give, len(ctx.row), ctx.row.numpy(), *map(array, (*grads, *of_rows)), at_least=AT_LEAST)
        return *of_rows, None


def merge(
    color: Float[Tensor, "M 3"], density: Float[Tensor, "M"], slots: Int[Tensor, "P N"]
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"]]:
    """Merges parts as `merge.merge` does; see there."""
    return _Merge.apply(color, density, slots)  # type: ignore[return-value]


def winners(density: Float[Tensor, "M"], slots: Int[Tensor, "P N"]) -> Int[Tensor, "N"]:
    """The row with the highest density of each point; -1 for points without rows. Arguments are as for `merge`."""
    row = torch.full(slots.shape[1:], -1)
    in_parallel(_winners, len(row), array(density), array(slots, torch.long), row.numpy(), at_least=AT_LEAST)
    return row
