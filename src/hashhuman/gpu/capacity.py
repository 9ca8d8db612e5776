"""Capacities: fixed sizes of arrays whose length depends on the data.

If the length were counted first, the host would wait for the GPU, and no CUDA graph could be captured. So such arrays
get a capacity beforehand. Entries beyond the capacity are dropped, and the size that was needed is reported on the
device. Only Triton's kernels support capacities.
"""

import dataclasses

from jaxtyping import Int
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class RayCapacity:
    """Capacities for rendering a batch of rays."""

    samples: int
    rows: tuple[int, ...]  # number of rows of each part, multiples of `part_rows.GRANULE`

    def sizes(self) -> list[int]:
        """All capacities in one list."""
        return [self.samples, *self.rows]


@dataclasses.dataclass(frozen=True)
class RayNeeds:
    """The least `RayCapacity` with which nothing is dropped, on the device."""

    samples: Int[Tensor, "1"]
    rows: Int[Tensor, "P"]


@dataclasses.dataclass(frozen=True)
class IndexCapacity:
    """Capacities for the search index of one posed body."""

    nodes: int  # number of nodes of the neighbour grids
    shell: tuple[int, int, int]  # number of the shell's voxels along each axis
    voxels: int  # number of the shell's voxels that are carried to canonical space
    rows: tuple[int, ...]  # number of rows of these voxels in each part, multiples of `part_rows.GRANULE`

    def sizes(self) -> list[int]:
        """All capacities in one list."""
        return [self.nodes, *self.shell, self.voxels, *self.rows]
