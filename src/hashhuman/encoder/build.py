"""Hash grids by physical size."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from hashhuman.encoder.spec import HashGridSpec


def hash_grids(
    backend: Callable[[Sequence[HashGridSpec]], nn.Module],
    extents: Sequence[float],
    grids: Sequence[Mapping[str, Any]],
    n_levels: int,
    features_per_level: int,
    log2_hashmap_size: int,
    coarsest_voxel: float,
    finest_voxel: float,
) -> nn.Module:
    """The grids of all parts, by the chosen backend.

    Args:
        backend: makes the grids from their specifications.
        extents: sides of the parts' cubes (m).
        grids: what differs in each part from the sizes below: any of `log2_hashmap_size`, `coarsest_voxel`,
            `finest_voxel`.
        n_levels, features_per_level: the same in all parts.
        log2_hashmap_size: binary logarithm of the most entries a level may have.
        coarsest_voxel, finest_voxel: sides of the cells (m).
    """
    sizes: dict[str, Any] = {
        "log2_hashmap_size": log2_hashmap_size,
        "coarsest_voxel": coarsest_voxel,
        "finest_voxel": finest_voxel,
    }
    return backend(
        [
            HashGridSpec.from_voxels(
                extent, n_levels=n_levels, features_per_level=features_per_level, **(sizes | dict(grid))
            )
            for extent, grid in zip(extents, grids, strict=True)
        ]
    )
