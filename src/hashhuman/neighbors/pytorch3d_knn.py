"""The exact search of the optional package pytorch3d."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.io.packages import require_package
from hashhuman.neighbors.base import Pairs, pairs_within


class PyTorch3dNeighbors:
    """Finds what `BruteNeighbors` finds by `pytorch3d.ops.knn_points`, which stores no matrix of distances.

    Args:
        vertices: body points of every frame (m, posed space).
        parts: indices of each part's points.
        k: candidates of a pair (K).
        spare: not needed here; see `GridNeighbors`.

    Raises:
        UserError: if the package is missing.
    """

    def __init__(
        self, vertices: Float[Tensor, "F V 3"], parts: list[Int[Tensor, "_"]], k: int = 1, spare: float = 0.0
    ) -> None:
        self.knn_points = self.require().knn_points
        self.vertices, self.parts, self.k = vertices, parts, k
        self.n_parts = len(parts)

    @staticmethod
    def require() -> Any:
        """Imports `pytorch3d.ops`. Raises UserError if it is missing, or was built for another PyTorch."""
        advice = "install it for this PyTorch (see environment.yml), or choose neighbors=grid"
        return require_package("pytorch3d.ops", "neighbors=pytorch3d", advice)

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
        counts = torch.bincount(frames, minlength=len(self.vertices))
        order = frames.argsort()
        rank = torch.empty_like(order)  # each point's index among the points of its frame
        rank[order] = torch.arange(len(points), device=points.device) - (counts.cumsum(0) - counts)[frames[order]]
        batch = points.new_zeros(len(counts), int(counts.max()), 3)
        batch[frames, rank] = points
        nearest, distances = [], []
        for part in self.parts:
            found = self.knn_points(batch, self.vertices[:, part], lengths1=counts, K=self.k)
            squared = found.dists[frames, rank]
            squared[:, len(part) :] = torch.inf  # pytorch3d returns zeros where a part has fewer than K points
            nearest.append(part[found.idx[frames, rank]])
            distances.append(squared.sqrt())
        return pairs_within(radius, torch.stack(nearest), torch.stack(distances))
