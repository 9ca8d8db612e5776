"""What a neighbour search returns, whatever finds it.

Notation: F frames, V body points, P parts, N query points, M pairs, K candidates a pair.
"""

import dataclasses
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The (query point, part) pairs whose nearest body point lies within the radius, sorted by part.

    A point near a boundary, say between torso and arm, belongs to several parts (instant-nvr, Sec. 3.2).
    """

    point: Int[Tensor, "M"]  # index of the query point
    part: Int[Tensor, "M"]
    vertices: Int[Tensor, "M K"]  # candidate body points, in [0, V)
    distances: Float[Tensor, "M K"]  # metres
    counts: list[int]  # pairs of each part, P


@runtime_checkable
class NeighborIndex(Protocol):
    """Answers queries for a fixed set of posed bodies."""

    def query(self, points: Float[Tensor, "N 3"], frames: Int[Tensor, "N"], radius: float) -> Pairs:
        """Pairs within `radius` (m) of the points, given in posed space of body `frames`."""
        ...
