"""The hash grid in plain PyTorch: runs anywhere, and is the reference for the other backends."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hashhuman.encoder.spec import PRIMES, HashGridSpec


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


class TorchHashGrid(nn.Module):
    """Trilinear features of all levels, differentiable in the table and, piecewise, in the position."""

    factors: Tensor
    scale: Tensor
    size: Tensor
    offset: Tensor

    def __init__(self, spec: HashGridSpec) -> None:
        super().__init__()
        self.spec = spec
        self.table = nn.Parameter(torch.empty(spec.n_entries, spec.features_per_level).uniform_(-1e-4, 1e-4))
        levels = spec.levels()
        self.n_dense = sum(not level.hashed for level in levels)  # resolutions grow, so the dense levels come first
        # A dense node (i, j, k) lies at i + r j + r^2 k; a hashed one at the xor of its products with the primes.
        # 32-bit products wrap around as tiny-cuda-nn's do; table sizes of hashed levels are powers of two.
        strides = [[1, level.resolution, level.resolution**2] for level in levels[: self.n_dense]]
        primes = [prime - (1 << 32) if prime >= 1 << 31 else prime for prime in PRIMES]
        factors = torch.tensor(strides + [primes] * (len(levels) - self.n_dense), dtype=torch.int32)
        sizes = torch.tensor([[level.size, level.offset] for level in levels], dtype=torch.int32)
        self.register_buffer("factors", factors, persistent=False)
        self.register_buffer("scale", torch.tensor([level.scale for level in levels]), persistent=False)
        self.register_buffer("size", sizes[:, 0].contiguous(), persistent=False)
        self.register_buffer("offset", sizes[:, 1].contiguous(), persistent=False)

    def entries(self, cell: Int[Tensor, "N L 3"]) -> Int[Tensor, "N L 8"]:
        """Rows of the table that hold the corners of each level's cell."""
        low = cell * self.factors
        products = torch.stack([low, low + self.factors], -1)
        dense = outer(products[:, : self.n_dense], torch.add) % self.size[: self.n_dense, None]
        hashed = outer(products[:, self.n_dense :], torch.bitwise_xor) & (self.size[self.n_dense :, None] - 1)
        return torch.cat([dense, hashed], 1) + self.offset[:, None]

    def forward(self, x: Float[Tensor, "N 3"]) -> Float[Tensor, "N LF"]:
        """Features at positions in [0, 1]^3, level by level."""
        position = x[:, None] * self.scale[:, None] + 0.5
        cell = position.detach().floor()
        fraction = position - cell
        weights = outer(torch.stack([1 - fraction, fraction], -1), torch.mul)
        entries = self.entries(cell.int())
        values: Tensor = _Rows.apply(self.table, entries.flatten().long()).unflatten(0, entries.shape)
        return (values * weights[..., None]).sum(2).flatten(1)
