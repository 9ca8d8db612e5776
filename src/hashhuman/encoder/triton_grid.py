"""Hash grids in Triton: one launch for all parts."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.encoder.spec import HashGridSpec
from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.gpu.backend import require
from hashhuman.gpu.part_rows import PartRows

Dtype = Literal["float32", "float16"]


@dataclasses.dataclass(frozen=True)
class Tuning:
    """Launch parameters of the kernels. The benchmark compares others.

    Attributes:
        warps: warps of a program. A warp has 32 rows, one a thread, so that no value moves between threads. A program's
            rows must divide GRANULE.
        read_bytes: bytes of the table that a thread reads at once, at most 16.
        add_bytes: bytes that a thread adds to the table's gradient at once, at most 16.
    """

    warps: int = 4
    read_bytes: int = 16
    add_bytes: int = 16

    @property
    def block(self) -> int:
        """Number of rows of a program."""
        return 32 * self.warps


class TritonHashGrids(TorchHashGrids):
    """Computes the features and gradients of `TorchHashGrids` from the same `table`.

    Gradients are sums by atomic additions. Their order, and therefore their rounding, differs from run to run.

    Args:
        specs: the grid of each part.
        table_dtype: dtype of the entries that are read. With float16, each call copies the table. Sums are float32.
        gradient_dtype: dtype in which the table's gradient is summed. float16 needs losses scaled to its range.

    Raises:
        UserError: as `TorchHashGrids` does.
    """

    levels: Tensor

    def __init__(
        self,
        specs: Sequence[HashGridSpec],
        table_dtype: Dtype = "float32",
        gradient_dtype: Dtype = "float32",
    ) -> None:
        super().__init__(specs)
        self.table_dtype: torch.dtype = getattr(torch, table_dtype)
        self.gradient_dtype: torch.dtype = getattr(torch, gradient_dtype)
        self.tuning = Tuning()
        hashed = torch.arange(self.n_levels) >= torch.tensor(self.n_dense)[:, None]
        resolution = torch.tensor([[level.resolution for level in spec.levels()] for spec in self.specs])
        columns = [*self.factors.unbind(-1)[1:], resolution, self.size, self.offset, hashed]
        levels = torch.stack([column.int() for column in columns], -1)  # as the kernels' `_level` reads them
        self.register_buffer("levels", levels, persistent=False)

    @staticmethod
    def require(device: torch.device) -> None:
        """Raises UserError if Triton's kernels cannot run on the device."""
        require(device, "encoder=triton")

    def forward(self, x: Float[Tensor, "M 3"], rows: PartRows) -> Float[Tensor, "M LF"]:
        """Features as by `TorchHashGrids.forward`, but finite numbers in unused rows. In memory, features come first.

        Raises:
            UserError: if Triton cannot run on the device of `x`.
        """
        require(x.device, "encoder=triton")
        return _Encode.apply(x, self.table, self, rows)  # type: ignore[return-value]


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, grids: TritonHashGrids, rows: PartRows) -> Tensor:
        from hashhuman.encoder.grid_kernels import grid_forward

        table = table.to(grids.table_dtype)
        out = x.new_empty(grids.n_features, rows.total, dtype=torch.float32)
        if rows.total:
            grid_forward[launch_grid(grids, rows)](
                x, x.stride(0), x.stride(1), table, grids.levels, grids.scale, rows.used, out, rows.total, rows.starts,
                GROUP=group(table, grids.tuning.read_bytes), **compiled_sizes(grids),
            )  # fmt: skip
        ctx.save_for_backward(x, table)
        ctx.grids, ctx.rows = grids, rows
        return out.t()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        from hashhuman.encoder.grid_kernels import grid_backward

        (upstream,), (x, table) = grads, ctx.saved_tensors
        grids, rows, tuning = ctx.grids, ctx.rows, ctx.grids.tuning
        of_x, of_table = ctx.needs_input_grad[:2]
        table_gradient = torch.zeros_like(table, dtype=grids.gradient_dtype) if of_table else table
        x_gradient = x.new_zeros(3, rows.total, dtype=torch.float32) if of_x else x
        if rows.total:
            grid_backward[launch_grid(grids, rows)](
                x, x.stride(0), x.stride(1), table, grids.levels, grids.scale, rows.used,
                upstream, upstream.stride(0), upstream.stride(1),
                table_gradient, x_gradient, rows.total, rows.starts,
                GROUP=group(table, tuning.read_bytes), GRADIENT_GROUP=group(table_gradient, tuning.add_bytes),
                OF_TABLE=of_table, OF_X=of_x, **compiled_sizes(grids),
            )  # fmt: skip
        return x_gradient.t().to(x.dtype) if of_x else None, table_gradient.float() if of_table else None, None, None


def launch_grid(grids: TritonHashGrids, rows: PartRows) -> tuple[int, int]:
    """Number of programs of a level, and number of levels."""
    return rows.total // grids.tuning.block, grids.n_levels


def group(table: Tensor, n_bytes: int) -> int:
    """Number of neighbouring entries to move at once: as many as fit `n_bytes`; 1 if F is no power of two."""
    width = table.shape[1]
    return max(1, n_bytes // (width * table.element_size())) if width & (width - 1) == 0 else 1


def compiled_sizes(grids: TritonHashGrids) -> dict[str, int]:
    """Compile-time constants and launch options of the kernels."""
    return {
        "N_LEVELS": grids.n_levels,
        "F": grids.features_per_level,
        "WIDTH": 1 << (grids.features_per_level - 1).bit_length(),
        "BLOCK": grids.tuning.block,
        "num_warps": grids.tuning.warps,
    }
