"""Hash grids in loops for the CPU: one pass over the positions for all parts and levels."""

import functools
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from hashhuman.cpu.loops import array, in_parallel
from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.errors import UserError
from hashhuman.gpu.part_rows import PartRows


class NumbaHashGrids(TorchHashGrids):
    """Computes the features and gradients of `TorchHashGrids` from the same `table`, on the CPU.

    Sums are in a fixed order: results do not depend on the number of threads.

    Raises:
        UserError: as `TorchHashGrids` does.
    """

    @staticmethod
    def require(device: torch.device) -> None:
        """Raises UserError if the device is not a CPU."""
        if device.type != "cpu":
            raise UserError("encoder=numba runs on the CPU only: choose encoder=auto, triton or torch.")

    def forward(self, x: Float[Tensor, "M 3"], rows: PartRows) -> Float[Tensor, "M LF"]:
        """Features as by `TorchHashGrids.forward`."""
        NumbaHashGrids.require(x.device)
        return _LoopEncode.apply(x, self.table, self, rows)  # type: ignore[return-value]

    def levels_of_parts(self, rows: PartRows) -> tuple:
        """What the loops read besides positions and table: each part's rows, each level's numbers, and the lanes."""
        return np.array(rows.starts), array(rows.used, torch.long), *self._levels

    @functools.cached_property
    def _levels(self) -> tuple:
        numbers = self.factors, self.size, self.offset, torch.tensor(self.n_dense)
        of_levels = (array(values, torch.long) for values in numbers)
        return array(self.scale), *of_levels, (0,) * self.features_per_level


class _LoopEncode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, grids: NumbaHashGrids, rows: PartRows) -> Tensor:
        from hashhuman.encoder.grid_loops import encode

        out = x.new_zeros(rows.total, grids.n_levels, grids.features_per_level)
        in_parallel(encode, rows.total, array(x), array(table), *grids.levels_of_parts(rows), out.numpy())
        ctx.save_for_backward(x, table)
        ctx.grids, ctx.rows = grids, rows
        return out.flatten(1)

    @staticmethod
    @once_differentiable  # a second derivative raises, instead of being taken for zero
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        from hashhuman.encoder.grid_loops import add_to_table, gradient_of_position

        (x, table), upstream = ctx.saved_tensors, array(grads[0].unflatten(1, (ctx.grids.n_levels, -1)))
        levels = ctx.grids.levels_of_parts(ctx.rows)
        of_x, of_table = None, None
        if ctx.needs_input_grad[1]:
            of_table = torch.empty_like(table)  # levels lie one after another, without gaps
            in_parallel(add_to_table, ctx.grids.n_levels, array(x), upstream, *levels, of_table.numpy(), at_least=1)
        if ctx.needs_input_grad[0]:
            of_x = torch.zeros_like(x)
            in_parallel(gradient_of_position, len(x), array(x), array(table), upstream, *levels, of_x.numpy())
        return of_x, of_table, None, None
