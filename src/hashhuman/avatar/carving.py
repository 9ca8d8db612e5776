"""Carves canonical space before training: what projects outside the outline in training pictures is empty.

A picture votes on a place of canonical space: carried along with the frame's body, it projects onto the person or
beside. Poses and masks are inexact, so that one vote decides nothing: a share of the pictures does. What no picture
decides follows the clothes' thickness over the body's surface, which is known where it was decided.

Notation: V body points, N places, K pictures, F frames, P parts, R cells along a side of a part's cube.
"""

import dataclasses

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.body.nearest import nearest
from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.body.spreading import SurfaceGraph
from hashhuman.data.outlines import Outlines
from hashhuman.deformer.cells import Cells
from hashhuman.geometry import skinning

STEP = 0.005  # metres between the heights over the surface that are voted on
AT_A_TIME = 1 << 19  # places or body points at a time, counted for each picture that votes; bounds the memory


@dataclasses.dataclass(frozen=True)
class Carving:
    """Settings of the vote.

    Args:
        share: of the pictures that show a place, the share that must have it outside the outline.
        least: and their least number.
        margin: pixels from the outline up to which a place does not count as outside.
        slack: metres that clothes may rise above their estimated thickness.
    """

    share: float
    least: int
    margin: float
    slack: float

    @torch.no_grad()
    def empty(
        self,
        x: Float[Tensor, "N 3"],
        vertex: Int[Tensor, "N"],
        bodies: PosedBodies,
        outlines: Outlines,
        radius: float = 0.0,
    ) -> Bool[Tensor, "N"]:
        """Whether the pictures agree that nothing is within `radius` (m) of canonical places.

        Args:
            x: the places (m, canonical).
            vertex: the body point that carries each place along.
            bodies: of the training frames.
            outlines: the pictures.
            radius: metres.
        """
        outside, shown = torch.zeros_like(vertex), torch.zeros_like(vertex)
        some = max(1, AT_A_TIME // max(len(x), len(bodies.canonical_vertices)))  # a picture has maps of all body points
        for first in range(0, len(outlines), some):
            pictures = slice(first, first + some)
            frames = torch.tensor(outlines.frames[pictures], device=x.device)
            posed = skinning.transform(_posed_from_canonical(bodies, frames)[:, vertex], x)
            world = skinning.transform(bodies.world_from_posed[frames][:, None], posed)
            distance, in_picture, scale = outlines.look_up(pictures, world)
            outside += (in_picture & (distance > self.margin + radius * scale)).sum(0)
            shown += in_picture.sum(0)
        return (outside >= self.least) & (outside >= self.share * shown)

    def thickness(
        self, bodies: PosedBodies, outlines: Outlines, graph: SurfaceGraph, reach: float
    ) -> tuple[Float[Tensor, "V"], Bool[Tensor, "V"]]:
        """The height over each body point (m) up to which something may be, and whether the pictures decided it.

        Args:
            bodies, outlines: as for `empty`.
            graph: the neighbours of the body points, over which the thickness is spread.
            reach: the greatest height (m).
        """
        points, normals = bodies.canonical_vertices, bodies.canonical_normals
        heights = torch.arange(0, reach + STEP / 2, STEP, device=points.device)
        places = points[:, None] + heights[:, None] * normals[:, None]  # V H 3
        vertex = torch.arange(len(points), device=points.device)[:, None].expand(-1, len(heights))
        empty = self.empty(places.flatten(0, 1), vertex.flatten(), bodies, outlines).view(vertex.shape)
        filled = (~empty).long()
        highest = (filled * torch.arange(1, len(heights) + 1, device=points.device)).amax(1)
        decided = highest < len(heights)
        value = heights[(highest - 1).clamp_min(0)]
        return graph.spread(value[:, None], decided)[:, 0], decided


def _posed_from_canonical(bodies: PosedBodies, frames: Int[Tensor, "G"]) -> Float[Tensor, "G V 4 4"]:
    """Each body point's affine map from canonical to posed space in some frames."""
    top = bodies.canonical_from_posed[frames].detach()
    bottom = top.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*top.shape[:2], 1, 4)
    return skinning.invert_affine(torch.cat([top, bottom], 2))


@torch.no_grad()
def allowed_cells(
    cells: Cells,
    bodies: PosedBodies,
    outlines: Outlines,
    carving: Carving,
    thickness: Float[Tensor, "V"],
    reach: float,
) -> Bool[Tensor, "cells"]:
    """Which cells of the parts may hold something. Cells at or below the body's surface always may.

    Others may within the clothes' thickness, unless the pictures agree that the whole cell is empty. Cells farther than
    `reach` (m) from the body are never sampled and count as empty.
    """
    points, normals = bodies.canonical_vertices, bodies.canonical_normals
    spacing = surface_spacing(points)
    allowed = []
    for low, extent in zip(cells.low, cells.extent):
        side = float(extent) / cells.resolution
        radius = 0.5 * 3**0.5 * side
        axis = (torch.arange(cells.resolution, device=low.device) + 0.5) * side
        centers = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).flatten(0, 2) + low
        distance, vertex = (found[:, 0] for found in nearest(centers, points, within=reach + radius + spacing))
        near = (vertex < len(points)).nonzero()[:, 0]
        x, vertex, distance = centers[near], vertex[near], distance[near]
        height = ((x - points[vertex]) * normals[vertex]).sum(1)
        touches = (height <= radius) & (distance <= radius + spacing) | (height <= 0)
        within = distance <= thickness[vertex] + carving.slack + radius
        mine = torch.zeros(len(centers), dtype=torch.bool, device=low.device)
        mine[near] = touches
        open_ = (within & ~touches).nonzero()[:, 0]
        empty = carving.empty(x[open_], vertex[open_], bodies, outlines, radius)
        mine[near[open_]] = ~empty
        allowed.append(mine)
    return torch.cat(allowed)


def facing(bodies: PosedBodies, outlines: Outlines) -> Float[Tensor, "3"]:
    """The unit direction (world) from the first body to the camera that films it."""
    camera, frame = outlines.cameras[0], outlines.frames[0]
    away = camera.center - bodies.world_from_posed[frame, :3, 3].detach()
    return away / away.norm()


def surface_spacing(points: Float[Tensor, "V 3"]) -> float:
    """The distance (m) from a body point to its nearest neighbour that few points exceed."""
    return float(nearest(points, points, 2)[0][:, 1].quantile(0.95))
