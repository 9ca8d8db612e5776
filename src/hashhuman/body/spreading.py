"""Spreads values that are known on a part of a surface smoothly over the rest of it."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.body.nearest import nearest

NEIGHBORS = 8  # of each point, on the surface that the points sample


class SurfaceGraph:
    """The nearest neighbours of points that sample a surface.

    Args:
        points: metres.
        normals: unit. Points whose normals are opposed, such as those on the insides of two legs, are no neighbours.
    """

    index: Int[Tensor, "V K"]
    weight: Float[Tensor, "V K"]  # rows sum to one

    def __init__(self, points: Float[Tensor, "V 3"], normals: Float[Tensor, "V 3"]) -> None:
        distance, index = nearest(points, points, min(NEIGHBORS + 1, len(points)))
        self.index, near = index[:, 1:], distance[:, 1:]
        agree = (normals[self.index] * normals[:, None]).sum(-1).clamp_min(0) + 1e-3
        weight = agree / near.clamp_min(1e-6)
        self.weight = weight / weight.sum(1, keepdim=True)

    def mean(self, values: Float[Tensor, "V C"]) -> Float[Tensor, "V C"]:
        """The weighted mean over each point's neighbours."""
        return (values[self.index] * self.weight[..., None]).sum(1)

    def spread(
        self,
        values: Float[Tensor, "V C"],
        known: Bool[Tensor, "V"],
        rounds: int = 200,
        start: Float[Tensor, "V C"] | None = None,
    ) -> Float[Tensor, "V C"]:
        """Known values as they are, and elsewhere the harmonic function between them (Jacobi's iteration).

        It starts from the nearest known values on the graph, so that few rounds suffice. With nothing known, all values
        are zero.

        Args:
            start: where to start instead, such as the result for similar values; then still fewer rounds suffice.
        """
        held = known[:, None]
        if start is not None:
            found = torch.where(held, values, start)
            for _ in range(rounds):
                found = torch.where(held, values, self.mean(found))
            return found
        share = known.float()[:, None]
        found = torch.where(held, values, 0)
        for _ in range(rounds):
            sums, total = self.mean(found * share), self.mean(share)
            fresh = (share == 0) & (total > 0)
            filled = torch.where(total > 0, sums / total.clamp_min(1e-9), found)
            found = torch.where(held, found, filled)
            share = torch.where(fresh, torch.ones_like(share), share)
        return found
