"""Occupancy of canonical space: learns during training which cells are empty, so that they are not sampled."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from hashhuman.deformer.cells import Cells
from hashhuman.field.base import CanonicalField
from hashhuman.gpu.part_rows import PartRows, padded


class Occupancy(nn.Module):
    """A decaying maximum of the density in each cell of each part's cube: instant-ngp (Müller et al. 2022), Sec. 5.3.

    Args:
        field: the field whose density is followed.
        resolution: number of cells along a side of a part's cube (R).
        threshold: density (1/m) above which a cell and its neighbours are sampled.
        decay: factor of a cell's stored density at each update.
    """

    density: Tensor  # P R R R, the stored density (1/m); infinite in cells that were never updated
    marked: Tensor  # P R^3, 1 in cells to be sampled
    allowed: Tensor  # P R^3, 0 in cells that were carved away and are never sampled
    PLACES = 2  # random positions in each cell at which an update evaluates the field

    def __init__(self, field: CanonicalField, resolution: int, threshold: float, decay: float) -> None:
        super().__init__()
        self.resolution, self.threshold, self.decay = resolution, threshold, decay
        self.sides = tuple(side / resolution for side in field.extent.tolist())  # of each part's cells (m)
        # Nothing is known at first, so every cell is marked.
        self.register_buffer("density", torch.full((field.n_parts, *[resolution] * 3), torch.inf))
        self.register_buffer("marked", torch.ones(self.density.numel(), dtype=torch.uint8))
        self.register_buffer("allowed", torch.ones_like(self.marked))

    def cells(self, field: CanonicalField) -> Cells:
        """The cells with their marks, which later updates change in place."""
        return Cells(field.low, field.extent, self.resolution, self.marked, self.sides)

    @torch.no_grad()
    def update(self, field: CanonicalField, cells: "CellRows") -> None:
        """Updates the stored density of some cells from the field, and marks the cells to be sampled.

        Marked are cells whose density exceeds the threshold, the 26 neighbours of each, and cells that were never
        updated. Unmarked cells are not sampled, so training does not keep the field empty there. Their density counts
        as zero until a neighbour exceeds the threshold.
        """
        index = cells.index
        # Stored component by component, as the positions in training are, so that the same kernel variant reads them.
        corner = torch.stack([index // self.resolution**2, index // self.resolution, index]) % self.resolution
        found = torch.zeros(len(index), device=index.device)
        for _ in range(self.PLACES):
            unit = (corner + torch.rand(corner.shape, device=corner.device)) / self.resolution
            found = torch.maximum(found, field.density(unit.t(), cells.rows))
        found = found * self.marked[index]
        memory = self.density.view(-1)
        faded = memory[index] * self.decay
        faded = torch.where(faded.isinf(), 0, faded)  # cells that were never updated have no stored density
        # Unused rows repeat a cell of their part with the value 0, which does not change the maximum.
        memory.scatter_(0, index, 0).scatter_reduce_(0, index, torch.maximum(found, faded) * cells.rows.mask(), "amax")
        unknown = self.density.isinf()
        around = nn.functional.max_pool3d(self.density.masked_fill(unknown, 0)[:, None], 3, stride=1, padding=1)
        self.marked.copy_(((around.flatten() > self.threshold) | unknown.flatten()) & (self.allowed > 0))

    def allow(self, cells: Bool[Tensor, "cells"]) -> None:
        """Lets only these cells be sampled, from now on. Cells that were not allowed before are marked again."""
        self.marked.copy_((self.marked > 0) & cells | cells & (self.allowed == 0))
        self.allowed.copy_(cells)


class CellRows:
    """A set of cells of all parts, arranged by part.

    Args:
        cells: positions in the flattened grids, in any order; repetitions are removed.
        per_part: number of cells of a part's grid.
        n_parts: number of parts.
    """

    def __init__(self, cells: Int[Tensor, "N"], per_part: int, n_parts: int) -> None:
        seen = torch.zeros(n_parts * per_part, dtype=torch.bool, device=cells.device)
        seen[cells] = True
        unique = seen.nonzero()[:, 0]  # in ascending order, hence part by part
        counts = seen.view(n_parts, per_part).sum(1)
        sizes = [padded(count) for count in counts.tolist()]
        groups = zip(unique.split(counts.tolist()), sizes)
        # Unused rows repeat a cell of the set, so that no other cell is changed.
        self.index = torch.cat([torch.cat([mine, mine[-1:].expand(size - len(mine))]) for mine, size in groups])
        self.rows = PartRows(tuple(sizes), counts.int())
