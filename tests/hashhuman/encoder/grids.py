"""Grids for the tests of all backends."""

from typing import TypeVar

import torch

from hashhuman.encoder.spec import HashGridSpec
from hashhuman.encoder.torch_grid import TorchHashGrids

Grids = TypeVar("Grids", bound=TorchHashGrids)

SPECS = {
    "dense": HashGridSpec(2, 2, 12, 3, 1.7),
    "hashed": HashGridSpec(2, 3, 5, 9, 2.0),
    "both": HashGridSpec(5, 2, 8, 4, 1.5),
    "tiny": HashGridSpec(2, 2, 5, 3, 1.5),  # one level of each kind
    "wide": HashGridSpec(3, 1, 14, 700, 2.1),  # products with the primes exceed 32 bits thousands of times
    "four": HashGridSpec(2, 4, 8, 4, 2.1),
    "half": HashGridSpec(2, 8, 6, 3, 2.0),
}


def randomised(grids: Grids) -> Grids:
    """The same grids with entries that all differ."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        grids.table.copy_(torch.randn(grids.table.shape, generator=generator, dtype=torch.double))
    return grids
