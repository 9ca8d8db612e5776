"""The exact search by brute force, against which the fast ones are tested."""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.neighbors.base import Pairs, pairs_within

MAX_DISTANCES = 1 << 28  # computed at a time: bounds the memory, and CUDA's cdist takes fewer than 2^31


class BruteNeighbors:
    """Finds the K nearest points exactly: compares every query point with every body point.

    Args:
        vertices: body points of every frame (m, posed space).
        parts: indices of each part's points.
        k: candidates of a pair (K).
        spare: not needed here; see `GridNeighbors`.
    """

    def __init__(
        self, vertices: Float[Tensor, "F V 3"], parts: list[Int[Tensor, "_"]], k: int = 1, spare: float = 0.0
    ) -> None:
        self.vertices, self.parts, self.k = vertices, parts, k
        self.n_parts = len(parts)

    def tensors(self) -> Iterator[Tensor]:
        """The body points."""
        yield self.vertices

    def has_room(self, vertices: Float[Tensor, "K V 3"]) -> Bool[Tensor, ""]:
        """Always: a body's points take the same memory in every pose."""
        return torch.ones((), dtype=torch.bool, device=vertices.device)

    def replace(self, frames: Int[Tensor, "K"], vertices: Float[Tensor, "K V 3"]) -> None:
        """Replaces the points of some bodies, in place."""
        self.vertices[frames] = vertices

    def query(self, points: Float[Tensor, "N 3"], frames: Int[Tensor, "N"], radius: float) -> Pairs:
        """See `NeighborIndex.query`."""
        shape = self.n_parts, len(points), self.k
        distances = torch.empty(shape, device=points.device)
        nearest = torch.empty(shape, dtype=torch.long, device=points.device)
        for index, part in enumerate(self.parts):
            for frame in frames.unique():
                body = self.vertices[frame, part]
                for chosen in (frames == frame).nonzero()[:, 0].split(max(1, MAX_DISTANCES // len(part))):
                    exact = torch.cdist(points[chosen], body, compute_mode="donot_use_mm_for_euclid_dist")
                    distances[index, chosen], column = exact.topk(self.k, largest=False)
                    nearest[index, chosen] = part[column]
        return pairs_within(radius, nearest, distances)
