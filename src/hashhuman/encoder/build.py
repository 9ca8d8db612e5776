"""Hash grids by physical size."""

from collections.abc import Callable

from torch import nn

from hashhuman.encoder.spec import HashGridSpec


def hash_grid(
    backend: Callable[[HashGridSpec], nn.Module],
    extent: float,
    n_levels: int,
    features_per_level: int,
    log2_hashmap_size: int,
    coarsest_voxel: float,
    finest_voxel: float,
) -> nn.Module:
    """A grid of the chosen backend over a cube of side `extent` (m); voxels in metres."""
    spec = HashGridSpec.from_voxels(
        extent, coarsest_voxel, finest_voxel, n_levels, features_per_level, log2_hashmap_size
    )
    return backend(spec)
