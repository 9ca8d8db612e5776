"""Inverse linear blend skinning by the nearest body points of each part."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.deformer.cells import Cells
from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.errors import UserError
from hashhuman.gpu.backend import chosen, looped
from hashhuman.neighbors.base import NeighborIndex, Pairs
from hashhuman.neighbors.grid import GridNeighbors


class InverseSkinning:
    """Blends the affine maps of the nearest body points.

    With the nearest point alone, the map would jump between neighbouring points. So candidates are weighted by
    exp(-(d^2 - d_min^2) / 2 s^2), which selects the nearest one as `smoothness` s tends to zero.

    Args:
        reach: the greatest height above the body's surface (m) at which points are kept: clothes and hair.
        depth: the greatest depth below it (m): deeper points are never visible.
        smoothness: s (m).
        kernels: auto, triton, numba or torch; Triton's and Numba's need `neighbors=grid`.
    """

    def __init__(self, reach: float, depth: float, smoothness: float, kernels: str = "auto") -> None:
        self.reach, self.depth, self.smoothness, self.kernels = reach, depth, smoothness, kernels

    def deeper(self, distance: float) -> "InverseSkinning":
        """The same map, which also keeps points that lie up to `distance` (m) deeper, at most as deep as `reach`."""
        depth = max(self.depth, min(self.depth + distance, self.reach))
        return InverseSkinning(self.reach, depth, self.smoothness, self.kernels)

    def __call__(
        self,
        points: Points,
        bodies: PosedBodies,
        neighbors: NeighborIndex,
        uv: Float[Tensor, "V 2"] | None = None,
        cells: Cells | None = None,
        capacity: tuple[int, ...] | None = None,
    ) -> CanonicalPairs:
        """Carries the points near the body to canonical space.

        `x` and `rotation` of the pairs are differentiable with respect to the bodies' `world_from_posed` and
        `canonical_from_posed` and the points' positions. The choice of pairs, candidates and weights is treated as
        constant, and so are `normal` and `uv`.

        Args:
            points: query points (m, world).
            bodies: the posed bodies.
            neighbors: index of the bodies' points, which may be older than `bodies`.
            uv: texture coordinates of the body points; None: the pairs get none.
            cells: only pairs in marked cells are kept; None: all pairs are.
            capacity: number of rows to reserve for each part (Triton only); None: as many as there are.

        Raises:
            UserError: for a capacity without Triton's kernels and `neighbors=grid`.
        """
        if isinstance(neighbors, GridNeighbors) and chosen(self.kernels, points.position.device):
            from hashhuman.deformer import inverse_skinning_kernels

            return inverse_skinning_kernels.carry(
                points, bodies, neighbors, uv, cells, self.reach, self.depth, self.smoothness, capacity
            )
        if capacity is not None:
            raise UserError("step=graph needs Triton's kernels and neighbors=grid: use step=eager")
        if isinstance(neighbors, GridNeighbors) and looped(self.kernels, points.position.device):
            from hashhuman.deformer import inverse_skinning_loops

            if not inverse_skinning_loops.differentiable(points, bodies):
                return inverse_skinning_loops.carry(
                    points, bodies, neighbors, uv, cells, self.reach, self.depth, self.smoothness
                )
        posed = bodies.to_posed(points.position, points.frame)
        with torch.no_grad():
            pairs = neighbors.query(posed, points.frame, max(self.reach, self.depth))
            weights = self.weights(pairs)
        x, rotation = canonical(bodies, posed[pairs.point], points.frame[pairs.point], pairs.vertices, weights)
        with torch.no_grad():
            normal = blend(bodies.canonical_normals, pairs.vertices, weights)
            normal = normal / normal.norm(dim=1, keepdim=True).clamp_min(1e-6)
            foot = blend(bodies.canonical_vertices, pairs.vertices, weights)
            height = ((x - foot) * normal).sum(1)  # over the body's surface (m); negative inside the body
            near = (height > -self.depth) & (height < self.reach)
            if cells is not None:
                near &= cells.contain(x, pairs.part)
            keep = near.nonzero()[:, 0]
            texture = None if uv is None else self.blend_uv(uv, pairs, weights)[keep]

        return CanonicalPairs.arranged(
            points,
            pairs.part[keep],
            pairs.point[keep],
            neighbors.n_parts,
            x[keep],
            rotation[keep],
            normal[keep],
            texture,
            bodies.time,
        )

    def weights(self, pairs: Pairs) -> Float[Tensor, "M K"]:
        """Normalised weights of the candidates."""
        squared = pairs.distances.square()
        excess = squared - squared.amin(1, keepdim=True)
        return torch.softmax(-excess / (2 * self.smoothness**2), 1)

    @staticmethod
    def blend_uv(uv: Float[Tensor, "V 2"], pairs: Pairs, weights: Float[Tensor, "M K"]) -> Float[Tensor, "M 2"]:
        """Texture coordinates, blended over the candidates that lie in the same chart as the nearest one."""
        candidates = uv[pairs.vertices]
        nearest = pairs.distances.argmin(1)
        chosen = candidates.gather(1, nearest[:, None, None].expand(-1, 1, 2))
        same_chart = (candidates - chosen).abs().amax(-1) < 0.05
        weights = weights * same_chart
        return (weights[..., None] * candidates).sum(1) / weights.sum(1, keepdim=True)


def canonical(
    bodies: PosedBodies,
    posed: Float[Tensor, "M 3"],
    frame: Int[Tensor, "M"],
    vertices: Int[Tensor, "M K"],
    weights: Float[Tensor, "M K"],
) -> tuple[Float[Tensor, "M 3"], Float[Tensor, "M 3 3"]]:
    """Applies the blend of the candidates' affine maps.

    Args:
        bodies: the posed bodies.
        posed: positions (m, posed space of body `frame`).
        frame: index of each position's body.
        vertices: candidate body points of each position.
        weights: weights of the candidates; each row sums to one.

    Returns:
        Canonical positions (m), and matrices that turn world directions into canonical directions.
    """
    of_frame = frame[:, None] * bodies.vertices.shape[1] + vertices
    blended = blend(bodies.canonical_from_posed.flatten(0, 1), of_frame, weights)  # M 3 4
    linear = blended[..., :3]
    x = (linear @ posed[..., None])[..., 0] + blended[..., 3]
    return x, linear @ bodies.world_from_posed[frame, :3, :3].transpose(1, 2)


def blend(
    values: Float[Tensor, "V *shape"], rows: Int[Tensor, "M K"], weights: Float[Tensor, "M K"]
) -> Float[Tensor, "M *shape"]:
    """Weighted sums of rows, without a copy of the rows."""
    sums = torch.nn.functional.embedding_bag(rows, values.flatten(1), per_sample_weights=weights, mode="sum")
    return sums.unflatten(1, values.shape[1:])
