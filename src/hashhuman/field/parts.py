"""Parts of the body, each with a field of its own; where several claim a point, the densest wins."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hashhuman.deformer.inverse_skinning import CanonicalPairs
from hashhuman.field.hash_field import HashField


class PartsField(nn.Module):
    """Routes pairs to the parts' fields and keeps, at each point, the part with the highest density.

    instant-nvr (Geng et al. 2023), Sec. 3.2.
    """

    def __init__(self, parts: dict[str, HashField]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)

    def forward(self, pairs: CanonicalPairs, n_points: int) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"]]:
        """Colour and density (1/m) of `n_points` query points; zero where no part reaches."""
        densities = pairs.x.new_zeros(n_points, len(self.parts))
        colors = pairs.x.new_zeros(n_points, len(self.parts), 3)
        first = 0
        for index, (part, count) in enumerate(zip(self.parts.values(), pairs.counts)):
            if count:
                mine = select(pairs, slice(first, first + count))
                color, density = part(mine)
                at = (mine.point, torch.full_like(mine.point, index))
                densities = densities.index_put(at, density)
                colors = colors.index_put(at, color)
            first += count
        density, winner = densities.max(1)
        return colors.gather(1, winner[:, None, None].expand(-1, 1, 3))[:, 0], density


def select(pairs: CanonicalPairs, rows: slice) -> CanonicalPairs:
    """The pairs in `rows`; `counts` stay those of all parts."""
    values = {field.name: getattr(pairs, field.name) for field in dataclasses.fields(pairs)}
    cut = {name: value[rows] for name, value in values.items() if isinstance(value, Tensor)}
    return dataclasses.replace(pairs, **cut)
