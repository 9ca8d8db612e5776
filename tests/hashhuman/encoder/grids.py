"""Grids for the tests of all backends."""

import dataclasses
import itertools
from typing import TypeVar

import torch

from hashhuman.encoder.spec import HashGridSpec
from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.gpu.part_rows import PartRows
from tests.hashhuman.part_rows import spread

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


def parts_of(spec: HashGridSpec) -> list[HashGridSpec]:
    """A grid, and a smaller one for a second part."""
    return [spec, dataclasses.replace(spec, log2_hashmap_size=spec.log2_hashmap_size - 1)]


def positions(rows: PartRows, generator: torch.Generator) -> torch.Tensor:
    """Random positions and corners of the cube in used rows, NaN in unused rows."""
    parts = [torch.rand(int(used), 3, generator=generator) for used in rows.used]
    parts[0][:8] = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))
    return spread(parts, rows)


def pull(grids: TorchHashGrids, x: torch.Tensor, upstream: torch.Tensor, rows: PartRows) -> tuple[torch.Tensor, ...]:
    """Features, and the gradients of the table and of the positions."""
    x = x.clone().requires_grad_()
    grids.table.grad = None
    features = grids(x, rows)
    features.backward(upstream)
    assert all(values.isfinite().all() for values in (features, grids.table.grad, x.grad))
    return features.detach(), grids.table.grad, x.grad


def compare(grids: TorchHashGrids, rows: PartRows, atol: float = 1e-5) -> None:
    """Compares values and gradients with the torch grids; NaN in unused rows must not spread."""
    generator = torch.Generator().manual_seed(1)
    reference = TorchHashGrids(grids.specs)
    reference.load_state_dict(grids.state_dict())
    x = positions(rows, generator)
    upstream = [torch.randn(int(used), grids.n_features, generator=generator) for used in rows.used]
    upstream = spread(upstream, rows)
    upstream[5] = 0
    here, there = pull(grids, x, upstream, rows), pull(reference, x, upstream, rows)
    mask = rows.mask()
    for mine, other in zip((here[0][mask], *here[1:]), (there[0][mask], *there[1:])):
        torch.testing.assert_close(mine, other, atol=atol * other.abs().max().item(), rtol=0)
    assert (here[2][~mask] == 0).all()
