"""Hash grids in plain PyTorch. They run on every device, and the other backends are tested against them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hashhuman.encoder.spec import PRIMES, HashGridSpec
from hashhuman.errors import UserError
from hashhuman.gpu.part_rows import PartRows


def outer(low: Tensor, high: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Combines the low and high values of three axes, both (3, ...), to the values of a cell's eight corners, (..., 8).

    The axes come first, since operations over long rows are faster than over pairs of numbers.
    """
    first, second, third = zip(low, high)
    pairs = [combine(a, b) for a in first for b in second]
    return torch.stack([combine(pair, c) for pair in pairs for c in third], -1)


class _Blend(torch.autograd.Function):
    """Weighted sums of rows of a table.

    `embedding_bag` does not store the gathered rows, as indexing, multiplying and adding would. The backward scatters
    the table's gradient number by number, since that of `embedding_bag` sorts the rows first, which takes several times
    as long.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(table, rows, weights)
        return torch.nn.functional.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, Tensor | None]:
        (upstream,), (table, rows, weights) = grads, ctx.saved_tensors
        width = table.shape[1]
        places = rows[..., None].long() * width + torch.arange(width, device=rows.device)
        values = upstream[:, None] * weights[..., None]
        gradient = table.new_zeros(table.numel()).scatter_add_(0, places.flatten(), values.flatten()).view(table.shape)
        of_weights = ctx.needs_input_grad[2]
        return gradient, None, (table[rows] @ upstream[..., None])[..., 0] if of_weights else None


class TorchHashGrids(nn.Module):
    """Trilinearly interpolated features of all levels, differentiable in the table and, piecewise, in the position.

    The parameter `table` (entries of all parts, F) holds the entries of the parts one after the other.

    Args:
        specs: the grid of each part.

    Raises:
        UserError: if the parts differ in `n_levels` or `features_per_level`.
    """

    factors: Tensor
    scale: Tensor
    size: Tensor
    offset: Tensor

    def __init__(self, specs: Sequence[HashGridSpec]) -> None:
        super().__init__()
        self.specs = tuple(specs)
        self.n_levels, self.features_per_level = common_shape(self.specs)
        self.n_entries = [spec.n_entries for spec in self.specs]
        self.table = nn.Parameter(torch.empty(sum(self.n_entries), self.features_per_level).uniform_(-1e-4, 1e-4))
        levels = [spec.levels() for spec in self.specs]
        # Resolutions increase, so that the dense levels come first.
        self.n_dense = [sum(not level.hashed for level in part) for part in levels]
        # A dense node (i, j, k) is entry i + r j + r^2 k; a hashed one the xor of i, j, k times the primes, modulo the
        # table's size, a power of two. 32-bit products overflow as in tiny-cuda-nn.
        primes = [prime - (1 << 32) if prime >= 1 << 31 else prime for prime in PRIMES]
        factors = [[primes if x.hashed else [1, x.resolution, x.resolution**2] for x in part] for part in levels]
        sizes = torch.tensor([[[level.size, level.offset] for level in part] for part in levels], dtype=torch.int32)
        scales = torch.tensor([[level.scale for level in part] for part in levels])
        self.register_buffer("factors", torch.tensor(factors, dtype=torch.int32), persistent=False)
        self.register_buffer("scale", scales, persistent=False)
        self.register_buffer("size", sizes[..., 0].contiguous(), persistent=False)
        starts = torch.tensor([0, *self.n_entries[:-1]], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        self.register_buffer("offset", sizes[..., 1] + starts[:, None], persistent=False)

    @property
    def n_features(self) -> int:
        """Number of features of a position (L F)."""
        return self.n_levels * self.features_per_level

    def forward(self, x: Float[Tensor, "M 3"], rows: PartRows) -> Float[Tensor, "M LF"]:
        """Features, level by level, at positions in [0, 1]^3 in the cube of each row's part; 0 in unused rows."""
        real = rows.mask()[:, None]
        x = torch.where(real, x, 0)
        corners = [self.corners(p, x[mine]) for p, mine in enumerate(rows.slices())]
        entries, weights = (torch.cat(values).flatten(0, 1) for values in zip(*corners))
        features: Tensor = _Blend.apply(self.table, entries, weights)
        return torch.where(real, features.view(-1, self.n_features), 0)

    def corners(self, p: int, x: Float[Tensor, "N 3"]) -> tuple[Int[Tensor, "N L 8"], Float[Tensor, "N L 8"]]:
        """The table's rows for the eight corners of each level's cell in part p's grid, and their trilinear weights."""
        position = x.t()[..., None] * self.scale[p] + 0.5  # 3 N L
        cell = position.detach().floor()
        fraction = position - cell
        weights = outer(1 - fraction, fraction, torch.mul)
        factors, n_dense, size = self.factors[p].t()[:, None], self.n_dense[p], self.size[p, :, None]
        low = cell.int() * factors
        high = low + factors
        dense = outer(low[..., :n_dense], high[..., :n_dense], torch.add) % size[:n_dense]
        hashed = outer(low[..., n_dense:], high[..., n_dense:], torch.bitwise_xor) & (size[n_dense:] - 1)
        return torch.cat([dense, hashed], 1) + self.offset[p, :, None], weights


def common_shape(specs: Sequence[HashGridSpec]) -> tuple[int, int]:
    """`n_levels` and `features_per_level`, which all parts share.

    Raises:
        UserError: if the parts differ in them.
    """
    shapes = {(spec.n_levels, spec.features_per_level) for spec in specs}
    if len(shapes) != 1:
        raise UserError("the parts' hash grids differ in n_levels or features_per_level: set these for all parts alike")
    return shapes.pop()
