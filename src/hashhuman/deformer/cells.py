"""Cells of canonical space with marks: unmarked cells are known to be empty."""

import dataclasses
import math

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from hashhuman.geometry.voxels import dilated


@dataclasses.dataclass(frozen=True)
class Cells:
    """R^3 cells in the cube of each of P parts, each marked or not."""

    low: Float[Tensor, "P 3"]  # lowest corners of the cubes (m, canonical)
    extent: Float[Tensor, "P"]  # sides of the cubes (m)
    resolution: int  # R
    marked: UInt8[Tensor, "cells"]  # P R^3 entries, part by part, with x as the slowest axis
    sides: tuple[float, ...]  # of the cells of each part (m), known to the host

    @classmethod
    def all(cls, n_parts: int, device: torch.device) -> "Cells":
        """One marked cell for each part, which stands for all of space."""
        marked = torch.ones(n_parts, dtype=torch.uint8, device=device)
        low, extent = torch.zeros(n_parts, 3, device=device), torch.ones(n_parts, device=device)
        return cls(low, extent, 1, marked, (1.0,) * n_parts)

    def index(self, x: Float[Tensor, "M 3"], part: Int[Tensor, "M"]) -> Int[Tensor, "M"]:
        """The cell of each canonical position (m) in its part's cube; outside the cube, the nearest cell."""
        unit = (x - self.low[part]) / self.extent[part, None]
        i, j, k = (unit * self.resolution).long().clamp(0, self.resolution - 1).unbind(1)
        return ((part * self.resolution + i) * self.resolution + j) * self.resolution + k

    def around(self, distance: float) -> "Cells":
        """Cells with more marks: those of all cells within `distance` (m) of a marked one, along each axis.

        Parts differ in size, so each has its own number of cells. That of the smallest cells would do for all, but mark
        more than is needed around trunk and legs.
        """
        parts = self.marked.view(-1, 1, *[self.resolution] * 3)
        wider = [dilated(part, math.ceil(distance / side)) for part, side in zip(parts, self.sides, strict=True)]
        return dataclasses.replace(self, marked=torch.cat(wider).flatten())

    def contain(self, x: Float[Tensor, "M 3"], part: Int[Tensor, "M"]) -> Bool[Tensor, "M"]:
        """Whether canonical positions (m) lie in marked cells of their parts."""
        return self.marked[self.index(x, part)] > 0
