"""The exact search that the fast ones are tested against."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.neighbors.base import Pairs


class BruteNeighbors:
    """Compares every query with every body point of the part; K nearest, exactly. Memory grows with N V."""

    def __init__(self, vertices: Float[Tensor, "F V 3"], parts: list[Int[Tensor, "_"]], k: int = 1) -> None:
        self.vertices, self.parts, self.k = vertices, parts, k

    def query(self, points: Float[Tensor, "N 3"], frames: Int[Tensor, "N"], radius: float) -> Pairs:
        """See `NeighborIndex.query`."""
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        for part in self.parts:
            distances = torch.empty(len(points), self.k, device=points.device)
            nearest = torch.empty(len(points), self.k, dtype=torch.long, device=points.device)
            for frame in frames.unique():
                chosen = frames == frame
                exact = torch.cdist(
                    points[chosen], self.vertices[frame, part], compute_mode="donot_use_mm_for_euclid_dist"
                )
                distances[chosen], column = exact.topk(self.k, largest=False)
                nearest[chosen] = part[column]
            point = (distances[:, 0] < radius).nonzero()[:, 0]
            found.append((point, nearest[point], distances[point]))
        counts = [len(point) for point, _, _ in found]
        part_index = torch.arange(len(counts), device=points.device).repeat_interleave(
            torch.tensor(counts, device=points.device)
        )
        point, vertices, distances = (torch.cat(x) for x in zip(*found))
        return Pairs(point, part_index, vertices, distances, counts)
