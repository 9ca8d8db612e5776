"""Sizes fixed beforehand, so that nothing has to be counted first, which the host would have to wait for.

Only Triton's kernels keep to them; where they are too small, what finds no capacity is left out.
"""

import dataclasses

from jaxtyping import Int
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class RayCapacity:
    """For rendering rays."""

    samples: int
    rows: tuple[int, ...]  # of each part; multiples of `part_rows.GRANULE`

    def sizes(self) -> list[int]:
        """All of them, one after another."""
        return [self.samples, *self.rows]


@dataclasses.dataclass(frozen=True)
class Needed:
    """What `RayCapacity` would have had to be, on the device."""

    samples: Int[Tensor, "1"]
    rows: Int[Tensor, "P"]


@dataclasses.dataclass(frozen=True)
class IndexCapacity:
    """For posing a body."""

    nodes: int  # of the neighbour grids
    shell: tuple[int, int, int]  # its voxels along each axis
    voxels: int  # of the shell that are carried to canonical space
    rows: tuple[int, ...]  # that those take in each part; multiples of `part_rows.GRANULE`

    def sizes(self) -> list[int]:
        """All of them, one after another."""
        return [self.nodes, *self.shell, self.voxels, *self.rows]
