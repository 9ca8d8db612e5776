"""Which cells of canonical space can hold something: learned beside the field, so that samples leave out the rest."""

import torch
from jaxtyping import Int
from torch import Tensor, nn

from hashhuman.deformer.cells import Cells
from hashhuman.field.base import CanonicalField
from hashhuman.gpu.part_rows import PartRows, padded


class Occupancy(nn.Module):
    """The greatest density found lately in each cell of each part's cube: instant-ngp (Müller et al. 2022), Sec. 5.3.

    Args:
        field: whose density it follows.
        resolution: cells along a side of a part's cube (R).
        threshold: density (1/m) above which a cell, or a neighbour of it, is worth sampling.
        decay: what a look leaves of a cell's remembered density.
    """

    density: Tensor
    marked: Tensor
    PLACES = 2  # looked at in each cell, at random

    def __init__(self, field: CanonicalField, resolution: int, threshold: float, decay: float) -> None:
        super().__init__()
        self.resolution, self.threshold, self.decay = resolution, threshold, decay
        # Nothing is known at first, so that every cell counts.
        self.register_buffer("density", torch.full((field.n_parts, *[resolution] * 3), torch.inf))
        self.register_buffer("marked", torch.ones(self.density.numel(), dtype=torch.uint8))

    def cells(self, field: CanonicalField) -> Cells:
        """The cells with their marks, which later looks change in place."""
        return Cells(field.low, field.extent, self.resolution, self.marked)

    @torch.no_grad()
    def update(self, field: CanonicalField, cells: "CellRows") -> None:
        """Brings the memory of some cells up to date with the field, and marks those worth sampling.

        These are the cells that have held density, the 26 around each, and those never looked at. What is not marked is
        not sampled, and so nothing keeps the field empty there: it counts as empty until something grows to its border.
        """
        index = cells.index
        # Component by component in memory, as training's positions are, so that it is the same kernel that reads them.
        corner = torch.stack([index // self.resolution**2, index // self.resolution, index]) % self.resolution
        found = torch.zeros(len(index), device=index.device)
        for _ in range(self.PLACES):
            unit = (corner + torch.rand(corner.shape, device=corner.device)) / self.resolution
            found = torch.maximum(found, field.density(unit.t(), cells.rows))
        found = found * self.marked[index]
        memory = self.density.view(-1)
        faded = memory[index] * self.decay
        faded = torch.where(faded.isinf(), 0, faded)  # what was never looked at is not remembered
        # Unused rows repeat a cell of their part; the greater of two values is right for both.
        memory.scatter_(0, index, 0).scatter_reduce_(0, index, torch.maximum(found, faded) * cells.rows.mask(), "amax")
        unknown = self.density.isinf()
        around = nn.functional.max_pool3d(self.density.masked_fill(unknown, 0)[:, None], 3, stride=1, padding=1)
        self.marked.copy_((around.flatten() > self.threshold) | unknown.flatten())


class CellRows:
    """Some cells of all parts, arranged by part.

    Args:
        cells: positions in the flattened grids, in any order and repeated at will.
        per_part: cells of a part's grid.
        n_parts: parts.
    """

    def __init__(self, cells: Int[Tensor, "N"], per_part: int, n_parts: int) -> None:
        seen = torch.zeros(n_parts * per_part, dtype=torch.bool, device=cells.device)
        seen[cells] = True
        unique = seen.nonzero()[:, 0]  # sorted, and so by part
        counts = seen.view(n_parts, per_part).sum(1)
        sizes = [padded(count) for count in counts.tolist()]
        groups = zip(unique.split(counts.tolist()), sizes)
        # Unused rows repeat a cell that is there, so that no other is touched.
        self.index = torch.cat([torch.cat([mine, mine[-1:].expand(size - len(mine))]) for mine, size in groups])
        self.rows = PartRows(tuple(sizes), counts.int())
