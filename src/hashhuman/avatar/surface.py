"""What the field shows along the normals of the body's surface, completed where no training picture shows it.

Every body point has a height, at which the field becomes opaque, and a colour. Both are read off the field where
pictures saw the point. Elsewhere they are those of the opposite point of the body, if that was seen, and otherwise
spread smoothly from the points around. `CompletionLoss` teaches the field what was completed.

Notation: V body points, P parts, H heights.
"""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.body.nearest import nearest
from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.body.spreading import SurfaceGraph
from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.field.base import CanonicalField
from hashhuman.gpu.part_rows import PartRows, padded

STEP = 0.005  # metres between the heights at which the field is read
ROUNDS = 20  # in which what is read is spread, starting from what the last reading spread
OPAQUE = 0.5  # points above which the field is less opaque are not read
FAR = 0.02  # a body point has no opposite one if the nearest is farther than this (m) from its mirror image


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Random places around the surface, with what is known there."""

    pairs: CanonicalPairs
    above: Float[Tensor, "M"]  # height over the completed surface (m)
    above_ceiling: Float[Tensor, "M"]  # height over the ceiling (m)
    color: Float[Tensor, "M 3"]  # of the completed surface
    unseen: Bool[Tensor, "M"]  # whether no picture shows the surface there


class Surface:
    """Height and colour over each body point. All tensors keep their addresses, for CUDA graphs.

    Args:
        bodies: any posed bodies of the template.
        part_points: the body points of each part.
        graph: neighbours of the body points.
        seen: whether a training picture shows each body point.
        opposite: the body point opposite each body point, and the distance (m) between it and the exact mirror image.
        ceiling: the height (m) over each body point above which nothing is.
        reach, depth: the greatest height above and depth below the surface (m) that the field covers.
        light: unit direction (world) from which the colours of all points are read, so that they can be compared.
    """

    def __init__(
        self,
        bodies: PosedBodies,
        part_points: Sequence[Int[Tensor, "_"]],
        graph: SurfaceGraph,
        seen: Bool[Tensor, "V"],
        opposite: tuple[Int[Tensor, "V"], Float[Tensor, "V"]],
        ceiling: Float[Tensor, "V"],
        reach: float,
        depth: float,
        light: Float[Tensor, "3"],
    ) -> None:
        self.points, self.normals = bodies.canonical_vertices, bodies.canonical_normals
        self.graph, self.seen, self.light = graph, seen, light
        self.opposite, self.mirrored = opposite[0], opposite[1] < FAR
        self.ceiling, self.reach, self.depth = ceiling, reach, depth
        self.part_points = list(part_points)
        self.claimed = [self._near(points) for points in part_points]
        self.clear = self._clear()
        self.spread = torch.full((len(ceiling), 4), torch.nan, device=ceiling.device)  # the last reading, not smoothed
        self.height = torch.zeros_like(ceiling)
        self.color = torch.full_like(self.points, 0.5)

    def update(self, seen: Bool[Tensor, "V"], ceiling: Float[Tensor, "V"]) -> None:
        """Replaces what is seen and the ceiling, in place."""
        self.seen.copy_(seen)
        self.ceiling.copy_(ceiling)

    def _near(self, mine: Int[Tensor, "_"]) -> Int[Tensor, "_"]:
        """The body points so near to those of a part that the part may be sampled above or below them."""
        distance, _ = nearest(self.points, self.points[mine])
        return (distance[:, 0] < self.depth).nonzero()[:, 0]

    def _clear(self) -> Float[Tensor, "V"]:
        """The height (m) over each body point up to which no other place of the body is nearer."""
        heights = torch.arange(STEP, self.reach + STEP / 2, STEP, device=self.points.device)
        places = self.points[:, None] + heights[:, None] * self.normals[:, None]
        distance, _ = nearest(places.flatten(0, 1), self.points)
        blocked = distance.view(places.shape[:2]) < 0.7 * heights - STEP
        return heights[0] * (blocked.long().cumsum(1) == 0).sum(1)

    def pairs(
        self, x: Float[Tensor, "M 3"], normal: Float[Tensor, "M 3"], sizes: Sequence[int], used: Int[Tensor, "P"]
    ) -> CanonicalPairs:
        """Pairs at places (m), part by part, seen along the surface's normals and all lit from the same direction."""
        n_rows, device = len(x), x.device
        row = torch.arange(n_rows, device=device)
        zero = torch.zeros_like(row)
        slots = torch.full((len(sizes), n_rows), -1, device=device)
        first = 0
        for part, size in enumerate(sizes):
            slots[part, first : first + size] = row[first : first + size]
            first += size
        return CanonicalPairs(
            rows=PartRows(tuple(sizes), used),
            point=row,
            slots=slots,
            x=x.t().contiguous().t(),  # stored component by component, as the positions in training are
            rotation=torch.eye(3, device=device).expand(n_rows, 3, 3),
            normal=self.light.expand(n_rows, 3),
            uv=None,
            points=Points(x, -normal, zero),
            frame_time=torch.full((1,), -1, device=device),
            needed=used,
        )

    @torch.no_grad()
    def read(self, field: CanonicalField) -> None:
        """Reads heights and colours of the seen points off the field, and completes the others."""
        heights = torch.arange(self.reach, -self.depth, -STEP, device=self.points.device)  # from outside to inside
        n_heights = len(heights)
        sizes = [padded(len(mine) * n_heights) for mine in self.part_points]
        used = torch.tensor([len(mine) * n_heights for mine in self.part_points], dtype=torch.int32)
        vertex, above = [], []
        for mine, size in zip(self.part_points, sizes):
            spare = size - len(mine) * n_heights
            vertex += [mine.repeat_interleave(n_heights), mine[:1].expand(spare)]
            above += [heights.repeat(len(mine)), heights[:1].expand(spare)]
        row, height = torch.cat(vertex), torch.cat(above)
        x = self.points[row] + height[:, None] * self.normals[row]
        pairs = self.pairs(x, self.normals[row], sizes, used.to(self.points.device))
        color, density = field(pairs)
        kept = pairs.rows.mask()
        color, density = color[kept].view(-1, n_heights, 3), density[kept].view(-1, n_heights)
        order = torch.cat(self.part_points)
        density = density * (heights <= self.clear[order, None])
        optical = density * STEP
        weights = torch.exp(-(optical.cumsum(1) - optical)) * -torch.expm1(-optical)
        total = weights.sum(1, keepdim=True)
        values = torch.zeros(len(self.points), 5, device=total.device)
        height = (weights * heights).sum(1, keepdim=True) / total.clamp_min(1e-6)
        shade = (weights[..., None] * color).sum(1) / total.clamp_min(1e-6)
        values[order] = torch.cat([height, shade, total], 1)
        known = self.seen & (values[:, 4] > OPAQUE)
        self._complete(values[:, :4], known)

    def _complete(self, values: Float[Tensor, "V 4"], known: Bool[Tensor, "V"]) -> None:
        mirrored = ~known & self.mirrored & known[self.opposite]
        values = torch.where(mirrored[:, None], values[self.opposite], values)
        held = known | mirrored
        if self.spread.isnan().any():
            spread = self.graph.spread(values, held)
        else:
            spread = self.graph.spread(values, held, ROUNDS, self.spread)
        self.spread.copy_(spread)
        smooth = self.graph.mean(spread)
        self.height.copy_(torch.maximum(spread[:, 0], smooth[:, 0]))  # no point sinks below its neighbours
        self.color.copy_(torch.where(mirrored[:, None], spread[:, 1:], smooth[:, 1:]))

    def draw(self, per_part: int) -> Drawn:
        """Draws random places above and below the surface, `per_part` for each part (a multiple of 128).

        Each lies over a random place of a triangle of a body point and two of its neighbours.
        """
        vertex = torch.cat([
            mine[torch.randint(len(mine), (per_part,), device=mine.device)] for mine in self.claimed
        ])  # fmt: skip
        n_rows, device = len(vertex), vertex.device
        others = self.graph.index[vertex].gather(
            1, torch.randint(self.graph.index.shape[1], (n_rows, 2), device=device)
        )
        corners = torch.cat([vertex[:, None], others], 1)  # M 3
        one, other = torch.rand(2, n_rows, device=device).unbind(0)
        low, high = torch.minimum(one, other), torch.maximum(one, other)
        weights = torch.stack([1 - high, high - low, low], 1)

        def blended(values: Tensor) -> Tensor:
            return (weights.view(n_rows, 3, *[1] * (values.ndim - 1)) * values[corners]).sum(1)

        normal = blended(self.normals)
        normal = normal / normal.norm(dim=1, keepdim=True).clamp_min(1e-6)
        top = self.clear[corners].amin(1)
        height = torch.rand(n_rows, device=device) * (top + self.depth) - self.depth
        x = blended(self.points) + height[:, None] * normal
        sizes = [per_part] * len(self.claimed)
        used = PartRows.all_used(sizes, device).used
        return Drawn(
            pairs=self.pairs(x, normal, sizes, used),
            above=height - blended(self.height),
            above_ceiling=height - blended(self.ceiling),
            color=blended(self.color),
            unseen=~self.seen[corners].any(1),
        )
