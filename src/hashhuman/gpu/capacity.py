"""Fixed sizes of arrays whose length depends on the data.

Counting first would make the host wait for the GPU, and a CUDA graph cannot count at all. So such arrays get a
capacity beforehand. Whatever exceeds it is dropped, and the size that was needed is reported on the device. Only
Triton's kernels work within a capacity.
"""

import dataclasses

from jaxtyping import Int
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class RayCapacity:
    """Of what rendering a batch of rays makes."""

    samples: int
    rows: tuple[int, ...]  # of each part; multiples of `part_rows.GRANULE`

    def sizes(self) -> list[int]:
        """All of them, one after another."""
        return [self.samples, *self.rows]


@dataclasses.dataclass(frozen=True)
class RayNeeds:
    """What `RayCapacity` would have had to be to drop nothing, on the device."""

    samples: Int[Tensor, "1"]
    rows: Int[Tensor, "P"]


@dataclasses.dataclass(frozen=True)
class IndexCapacity:
    """Of what indexing one posed body makes."""

    nodes: int  # of the neighbour grids
    shell: tuple[int, int, int]  # its voxels along each axis
    voxels: int  # of the shell that are carried to canonical space
    rows: tuple[int, ...]  # that those take in each part; multiples of `part_rows.GRANULE`

    def sizes(self) -> list[int]:
        """All of them, one after another."""
        return [self.nodes, *self.shell, self.voxels, *self.rows]
