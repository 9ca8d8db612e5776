"""Inverse linear blend skinning by the nearest body points of each part."""

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.deformer.bodies import PosedBodies
from hashhuman.neighbors.base import NeighborIndex, Pairs


@dataclasses.dataclass(frozen=True)
class CanonicalPairs:
    """Query points carried to canonical space, one row for each (point, part) pair, sorted by part."""

    point: Int[Tensor, "M"]  # index of the query point
    counts: list[int]  # pairs of each part
    time: Int[Tensor, "M"]  # training frame, or -1
    x: Float[Tensor, "M 3"]  # canonical position (m)
    rotation: Float[Tensor, "M 3 3"]  # canonical directions from world directions: a blend of rotations
    viewdirs: Float[Tensor, "M 3"]  # the ray's direction, in canonical space
    uv: Float[Tensor, "M 2"] | None
    distance: Float[Tensor, "M"]  # to the nearest body point (m)
    residual: Float[Tensor, "M 3"] | None = None  # what the learned deformation added to x (m)


class InverseSkinning:
    """Blends the affine maps of the nearest body points.

    A single nearest point would make the map jump between neighbouring points; candidates are weighted by
    exp(-(d^2 - d_min^2) / 2 s^2) instead, which tends to the nearest as `smoothness` s (m) tends to zero.
    """

    def __init__(self, reach: float = 0.06, smoothness: float = 0.01) -> None:
        self.reach, self.smoothness = reach, smoothness

    def __call__(
        self,
        points: Float[Tensor, "N 3"],
        directions: Float[Tensor, "N 3"],
        frames: Int[Tensor, "N"],
        bodies: PosedBodies,
        neighbors: NeighborIndex,
        uv: Float[Tensor, "V 2"] | None,
    ) -> CanonicalPairs:
        """Canonical positions of world points within `reach` (m) of the body, and of the rays' world directions."""
        points = bodies.to_posed(points, frames)
        pairs = neighbors.query(points, frames, self.reach)
        frame = frames[pairs.point]
        weights = self.weights(pairs)
        maps = bodies.canonical_from_posed[frame[:, None], pairs.vertices]  # M K 3 4
        blended = (weights[..., None, None] * maps).sum(1)
        linear = blended[..., :3]
        x = (linear @ points[pairs.point, :, None])[..., 0] + blended[..., 3]
        rotation = linear @ bodies.world_from_posed[frame, :3, :3].transpose(1, 2)
        viewdirs = (rotation @ directions[pairs.point, :, None])[..., 0]
        nearest, position = pairs.distances.min(1)
        uv_of_pairs = self.blend_uv(uv, pairs, weights, position)
        return CanonicalPairs(
            pairs.point, pairs.counts, bodies.time[frame], x, rotation, viewdirs, uv_of_pairs, nearest
        )

    def weights(self, pairs: Pairs) -> Float[Tensor, "M K"]:
        """Normalised weights of the candidates."""
        squared = pairs.distances.square()
        excess = squared - squared.amin(1, keepdim=True)
        return torch.softmax(-excess / (2 * self.smoothness**2), 1)

    @staticmethod
    def blend_uv(
        uv: Float[Tensor, "V 2"] | None, pairs: Pairs, weights: Float[Tensor, "M K"], nearest: Int[Tensor, "M"]
    ) -> Float[Tensor, "M 2"] | None:
        """Texture coordinates, blended over the candidates on the nearest one's side of any seam."""
        if uv is None:
            return None
        candidates = uv[pairs.vertices]
        chosen = candidates.gather(1, nearest[:, None, None].expand(-1, 1, 2))
        same_chart = (candidates - chosen).abs().amax(-1) < 0.05
        weights = weights * same_chart
        return (weights[..., None] * candidates).sum(1) / weights.sum(1, keepdim=True)
