"""What every canonical field has: cubes in canonical space, one for each part, and colour and density in them."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hashhuman.deformer.pairs import CanonicalPairs
from hashhuman.gpu.part_rows import PartRows


class CanonicalField(nn.Module):
    """The part of an avatar that learns what the person looks like. Subclasses define `density` and `forward`.

    Args:
        low: lowest corner of each part's cube (m, canonical).
        extent: side of each part's cube (m).
    """

    low: Tensor
    extent: Tensor

    def __init__(self, low: Float[Tensor, "P 3"], extent: Float[Tensor, "P"]) -> None:
        super().__init__()
        self.n_parts = len(low)
        self.register_buffer("low", low)
        self.register_buffer("extent", extent)

    def per_row(self, values: Float[Tensor, "P *shape"], rows: PartRows) -> Tensor:
        """Each row's own part's value."""
        return torch.cat([value.expand(size, *value.shape) for value, size in zip(values, rows.sizes)])

    def unit(self, x: Float[Tensor, "M 3"], rows: PartRows) -> Float[Tensor, "M 3"]:
        """Canonical positions (m) within the parts' cubes, in [0, 1]."""
        return ((x - self.per_row(self.low, rows)) / self.per_row(self.extent, rows)[:, None]).clamp(0, 1)

    def density(self, unit: Float[Tensor, "M 3"], rows: PartRows) -> Float[Tensor, "M"]:
        """Density (1/m), never negative, at places in the parts' cubes."""
        raise NotImplementedError

    def forward(self, pairs: CanonicalPairs) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"]]:
        """Colour (RGB; 1 is white) and density (1/m) of the N query points; density 0 where no part reaches."""
        raise NotImplementedError

    def visible(
        self,
        pairs: CanonicalPairs,
        weigh: Callable[[Float[Tensor, "N"]], Float[Tensor, "N"]],
        faint: float,
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"]]:
        """As `forward`, but points whose weight is at most `faint` may be black; for pictures, without gradients.

        Args:
            pairs: the query points in canonical space.
            weigh: the points' weights in the picture, from their densities.
            faint: the weight.
        """
        return self(pairs)
