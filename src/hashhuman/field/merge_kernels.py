"""`hashhuman.field.merge.merge` in Triton."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256


@triton.jit(do_not_specialize=["n_points"])
@no_type_check
def _forward(
    color, density, slots, color_out, density_out, winner_out, n_points, PARTS: tl.constexpr, BLOCK: tl.constexpr
):
    point = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = point < n_points
    best = tl.full([BLOCK], -1.0, tl.float32)
    winner = tl.full([BLOCK], -1, tl.int32)
    for part in tl.static_range(PARTS):
        row = tl.load(slots + part * n_points + point, mask=live, other=-1).to(tl.int32)
        mine = tl.load(density + row, mask=row >= 0, other=-1.0)
        winner = tl.where(mine > best, row, winner)
        best = tl.maximum(best, mine)
    exists = winner >= 0
    tl.store(winner_out + point, winner, mask=live)
    tl.store(density_out + point, tl.where(exists, best, 0.0), mask=live)
    for channel in tl.static_range(3):
        value = tl.load(color + winner * 3 + channel, mask=exists, other=0.0)
        tl.store(color_out + point * 3 + channel, value, mask=live)


@triton.jit(do_not_specialize=["n_points"])
@no_type_check
def _backward(color_grad, density_grad, winner, color_out, density_out, n_points, BLOCK: tl.constexpr):
    point = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(winner + point, mask=point < n_points, other=-1)
    exists = row >= 0
    tl.store(density_out + row, tl.load(density_grad + point, mask=exists, other=0.0), mask=exists)
    for channel in tl.static_range(3):
        value = tl.load(color_grad + point * 3 + channel, mask=exists, other=0.0)
        tl.store(color_out + row * 3 + channel, value, mask=exists)


class _Merge(torch.autograd.Function):
    @staticmethod
    def forward(ctx, color: Tensor, density: Tensor, slots: Tensor):
        n_points = slots.shape[1]
        winner = torch.empty(n_points, dtype=torch.int32, device=color.device)
        merged_color, merged_density = color.new_empty(n_points, 3), density.new_empty(n_points)
        grid = (triton.cdiv(n_points, BLOCK),)
        _forward[grid](
            color.contiguous(), density.contiguous(), slots, merged_color, merged_density, winner, n_points,
            PARTS=len(slots), BLOCK=BLOCK,
        )  # fmt: skip
        ctx.save_for_backward(winner)
        ctx.n_rows = len(density)
        return merged_color, merged_density

    @staticmethod
    def backward(ctx, *grads: Tensor):
        (winner,) = ctx.saved_tensors
        color_grad, density_grad = (grad.contiguous() for grad in grads)
        color_out, density_out = color_grad.new_zeros(ctx.n_rows, 3), density_grad.new_zeros(ctx.n_rows)
        # A row belongs to only one point, so no two programs write to the same address.
        _backward[(triton.cdiv(len(winner), BLOCK),)](
            color_grad, density_grad, winner, color_out, density_out, len(winner), BLOCK=BLOCK
        )
        return color_out, density_out, None


def merge(color: Tensor, density: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """Colour (N, 3) and density (N,) of each point; arguments and result are those of `hashhuman.field.merge.merge`."""
    return _Merge.apply(color, density, slots)  # type: ignore[return-value]
