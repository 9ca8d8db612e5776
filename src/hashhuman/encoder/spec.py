"""The specification and the parameter layout that all hash-grid backends share.

Levels, resolutions, hashing and padding are those of tiny-cuda-nn's `HashGrid`, so that the same parameters give the
same features in every backend. Method: Müller et al., "Instant Neural Graphics Primitives" (SIGGRAPH 2022), Sec. 3.
"""

import dataclasses
import math

PRIMES = (1, 2654435761, 805459861)  # one for each dimension, as in the paper


@dataclasses.dataclass(frozen=True)
class Level:
    """One level of the grid."""

    scale: float  # position in cells = x * scale + 0.5, for x in [0, 1]
    resolution: int  # nodes along each axis
    size: int  # entries in the table
    offset: int  # position of its first entry among the entries of all levels
    hashed: bool  # False: the table holds all nodes, the first axis fastest


@dataclasses.dataclass(frozen=True)
class HashGridSpec:
    """A 3D hash grid over the unit cube.

    Attributes:
        n_levels: number of levels (L).
        features_per_level: number of features of an entry (F).
        log2_hashmap_size: binary logarithm of the maximum number of entries a level (T).
        base_resolution: number of cells along an axis at the coarsest level.
        per_level_scale: ratio of the resolutions of successive levels.
    """

    n_levels: int = 16
    features_per_level: int = 2
    log2_hashmap_size: int = 19
    base_resolution: int = 16
    per_level_scale: float = 1.38

    @classmethod
    def from_voxels(
        cls,
        extent: float,
        coarsest_voxel: float,
        finest_voxel: float,
        n_levels: int,
        features_per_level: int,
        log2_hashmap_size: int,
    ) -> "HashGridSpec":
        """The grid over a cube of side `extent` (m), with cells from `coarsest_voxel` down to `finest_voxel` (m)."""
        base = max(2, math.ceil(extent / coarsest_voxel))
        finest = max(base, extent / finest_voxel)
        scale = (finest / base) ** (1 / (n_levels - 1)) if n_levels > 1 else 1.0
        return cls(n_levels, features_per_level, log2_hashmap_size, base, scale)

    @property
    def n_features(self) -> int:
        """Number of features of a position (L F)."""
        return self.n_levels * self.features_per_level

    def levels(self) -> list[Level]:
        """The layout of every level, coarsest first."""
        levels, offset = [], 0
        for i in range(self.n_levels):
            scale = 2 ** (i * math.log2(self.per_level_scale)) * self.base_resolution - 1
            resolution = math.ceil(scale) + 1
            dense = math.ceil(resolution**3 / 8) * 8  # tables are padded to a multiple of eight entries
            size = min(dense, 1 << self.log2_hashmap_size)
            levels.append(Level(scale, resolution, size, offset, hashed=resolution**3 > size))
            offset += size
        return levels

    @property
    def n_entries(self) -> int:
        """Entries of all levels together; the parameters are a matrix (n_entries, F)."""
        last = self.levels()[-1]
        return last.offset + last.size
