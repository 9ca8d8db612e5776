"""Hash grids in plain PyTorch: they run anywhere, and are the reference for the other backends."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hashhuman.encoder.spec import PRIMES, HashGridSpec
from hashhuman.errors import UserError
from hashhuman.part_rows import PartRows


def outer(x: Tensor, combine) -> Tensor:
    """Combines the low and high values of three axes, (..., 3, 2), into those of a cell's eight corners, (..., 8)."""
    a, b, c = x.unbind(-2)
    return combine(combine(a[..., :, None, None], b[..., None, :, None]), c[..., None, None, :]).flatten(-3)


class _Rows(torch.autograd.Function):
    """Rows of a table. The gradient is scattered number by number: on two cores that took a fifth of the time of
    `index_add_`, which index_select's own backward calls, and on a GPU both are atomic additions."""

    @staticmethod
    def forward(ctx, table: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.shape = table.shape
        return table.index_select(0, rows)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        width = ctx.shape[1]
        places = rows[:, None] * width + torch.arange(width, device=rows.device)
        gradient = grads[0].new_zeros(ctx.shape.numel()).scatter_add_(0, places.flatten(), grads[0].flatten())
        return gradient.view(ctx.shape), None


class TorchHashGrids(nn.Module):
    """Trilinear features of all levels, differentiable in the table and, piecewise, in the position.

    Args:
        specs: the grid of each part; their entries follow one another in `table`, (entries of all parts, F).

    Raises:
        UserError: if the parts differ in their number of levels or of features.
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
        # Resolutions grow, so the dense levels come first.
        self.n_dense = [sum(not level.hashed for level in part) for part in levels]
        # A dense node (i, j, k) lies at i + r j + r^2 k; a hashed one at the xor of its products with the primes.
        # 32-bit products wrap around as tiny-cuda-nn's do; table sizes of hashed levels are powers of two.
        primes = [prime - (1 << 32) if prime >= 1 << 31 else prime for prime in PRIMES]
        factors = [[primes if x.hashed else [1, x.resolution, x.resolution**2] for x in part] for part in levels]
        sizes = torch.tensor([[[level.size, level.offset] for level in part] for part in levels], dtype=torch.int32)
        scales = torch.tensor([[level.scale for level in part] for part in levels])
        self.register_buffer("factors", torch.tensor(factors, dtype=torch.int32), persistent=False)
        self.register_buffer("scale", scales, persistent=False)
        self.register_buffer("size", sizes[..., 0].contiguous(), persistent=False)
        self.register_buffer("offset", sizes[..., 1].contiguous(), persistent=False)

    @property
    def n_features(self) -> int:
        """Width of the output."""
        return self.n_levels * self.features_per_level

    def forward(self, x: Float[Tensor, "M 3"], rows: PartRows) -> Float[Tensor, "M LF"]:
        """Features, level by level, at positions in [0, 1]^3 of each row's own part."""
        real = rows.mask()[:, None]
        x = torch.where(real, x, 0)
        tables = self.table.split(self.n_entries)
        features = [self.part(p, table, x[mine]) for p, (table, mine) in enumerate(zip(tables, rows.slices()))]
        return torch.where(real, torch.cat(features), 0)

    def part(self, p: int, table: Float[Tensor, "E F"], x: Float[Tensor, "N 3"]) -> Float[Tensor, "N LF"]:
        """Features of one part's grid."""
        position = x[:, None] * self.scale[p, :, None] + 0.5
        cell = position.detach().floor()
        fraction = position - cell
        weights = outer(torch.stack([1 - fraction, fraction], -1), torch.mul)
        entries = self.entries(p, cell.int())
        values: Tensor = _Rows.apply(table, entries.flatten().long()).unflatten(0, entries.shape)
        return (values * weights[..., None]).sum(2).flatten(1)

    def entries(self, p: int, cell: Int[Tensor, "N L 3"]) -> Int[Tensor, "N L 8"]:
        """Rows of a part's table that hold the corners of each level's cell."""
        low = cell * self.factors[p]
        products = torch.stack([low, low + self.factors[p]], -1)
        n_dense, size = self.n_dense[p], self.size[p, :, None]
        dense = outer(products[:, :n_dense], torch.add) % size[:n_dense]
        hashed = outer(products[:, n_dense:], torch.bitwise_xor) & (size[n_dense:] - 1)
        return torch.cat([dense, hashed], 1) + self.offset[p, :, None]


def common_shape(specs: Sequence[HashGridSpec]) -> tuple[int, int]:
    """Levels and features a level of all parts.

    Raises:
        UserError: if the parts differ in them.
    """
    shapes = {(spec.n_levels, spec.features_per_level) for spec in specs}
    if len(shapes) != 1:
        raise UserError("the parts' hash grids differ in n_levels or features_per_level: set these for all parts alike")
    return shapes.pop()
