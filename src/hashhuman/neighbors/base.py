"""What a neighbour search returns, whatever finds it.

Notation: F frames, V body points, P parts, N query points, M pairs, K candidates a pair.
"""

import dataclasses
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The (query point, part) pairs whose nearest body point lies within the radius, sorted by part."""

    point: Int[Tensor, "M"]  # index of the query point
    part: Int[Tensor, "M"]
    vertices: Int[Tensor, "M K"]  # candidate body points, in [0, V)
    distances: Float[Tensor, "M K"]  # metres; inf where there is no candidate


@runtime_checkable
class NeighborIndex(Protocol):
    """Answers queries for a set of posed bodies."""

    n_parts: int

    def query(self, points: Float[Tensor, "N 3"], frames: Int[Tensor, "N"], radius: float) -> Pairs:
        """Pairs within `radius` (m) of the points, given in posed space of body `frames`.

        Distances are to the body points as they were when the index was made.
        """
        ...

    def tensors(self) -> Iterator[Tensor]:
        """Everything that depends on the poses, in a fixed order."""
        ...


def pairs_within(radius: float, vertices: Int[Tensor, "P N K"], distances: Float[Tensor, "P N K"]) -> Pairs:
    """The pairs whose nearest candidate lies within `radius` (m), of every part's candidates, nearest first."""
    part, point = (distances[..., 0] < radius).nonzero().unbind(1)
    return Pairs(point, part, vertices[part, point], distances[part, point])
