"""Builds hash grids from physical sizes."""

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
    """Builds the hash grids of all parts.

    Args:
        backend: makes the module from the parts' specifications.
        extents: side of each part's cube (m).
        grids: options of each part that replace those below: any of `log2_hashmap_size`, `coarsest_voxel`,
            `finest_voxel`.
        n_levels, features_per_level: see `HashGridSpec`; the same in all parts.
        log2_hashmap_size: see `HashGridSpec`.
        coarsest_voxel, finest_voxel: sides of the cells at the coarsest and the finest level (m).
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
