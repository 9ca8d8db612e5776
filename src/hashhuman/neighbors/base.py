"""The interface of all neighbour searches.

Notation: F frames, V body points, P parts, N query points, M pairs, K candidates a pair.
"""

import dataclasses
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
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
    """Finds the nearest points of a set of posed bodies."""

    n_parts: int

    def query(self, points: Float[Tensor, "N 3"], frames: Int[Tensor, "N"], radius: float) -> Pairs:
        """The (query point, part) pairs whose nearest body point lies within `radius` (m).

        Distances are to the body points as they were when the index was made.

        Args:
            points: query points (m, posed space of their body).
            frames: index of each query point's body.
            radius: metres.
        """
        ...

    def tensors(self) -> Iterator[Tensor]:
        """Everything that depends on the poses, in a fixed order."""
        ...

    def has_room(self, vertices: Float[Tensor, "K V 3"]) -> Bool[Tensor, ""]:
        """Whether the memory of a body suffices for each of these bodies (m, posed space)."""
        ...

    def replace(self, frames: Int[Tensor, "K"], vertices: Float[Tensor, "K V 3"]) -> None:
        """Makes the index of some bodies again, in place. Ask `has_room` before."""
        ...


def pairs_within(radius: float, vertices: Int[Tensor, "P N K"], distances: Float[Tensor, "P N K"]) -> Pairs:
    """The pairs whose nearest candidate lies within `radius` (m).

    Args:
        radius: metres.
        vertices: every part's K candidates of each query point, the nearest first.
        distances: their distances (m).
    """
    part, point = (distances[..., 0] < radius).nonzero().unbind(1)
    return Pairs(point, part, vertices[part, point], distances[part, point])
