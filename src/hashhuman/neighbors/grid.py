"""Nearest body points from a voxel grid that is made once per posed body.

Each part of each body has a grid whose nodes store the part's nearest body point. A query compares the points stored at
the eight nodes around it: eight reads instead of a comparison with thousands of points.

The result is not always the nearest point. Where body points are denser than the voxels, a node stores only one of
several. The distance found exceeds the true one by at most a voxel's diagonal (twice the distance to the nearest node,
by the triangle inequality).
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.errors import UserError
from hashhuman.gpu.backend import chosen, looped
from hashhuman.neighbors.base import Pairs

SCALE = 32766  # distances from 0 to `reach` are stored as integers from 0 to this
EMPTY = torch.iinfo(torch.int32).max  # the key of a node that no body point is near


class GridNeighbors:
    """Per-part nearest-point grids over posed space.

    Args:
        vertices: body points of every frame (m, posed space).
        parts: indices of each part's points.
        voxel: spacing of the nodes (m).
        reach: how far from a part's points nodes are filled (m). If it is less than a query's radius plus half a
            voxel's diagonal, some points near that radius are not found.
        kernels: auto, triton, numba or torch, for filling the grids.
        capacity: number of nodes to reserve for all grids of a body; None: as many as needed, for which the host waits
            for the device. If it is too small, queries find nothing, and `needed` says how many nodes there should be.
        spare: metres along each axis by which bodies may become larger before `has_room` says no.

    Raises:
        UserError: for more than 32767 body points, since keys store their indices in 16 bits.
    """

    def __init__(
        self,
        vertices: Float[Tensor, "F V 3"],
        parts: list[Int[Tensor, "_"]],
        voxel: float = 0.025,
        reach: float = 0.08,
        kernels: str = "auto",
        capacity: int | None = None,
        spare: float = 0.0,
    ) -> None:
        if vertices.shape[1] > torch.iinfo(torch.int16).max:
            raise UserError(
                f"neighbors=grid takes at most {torch.iinfo(torch.int16).max} body points, not {vertices.shape[1]}: "
                "lower neighbors.max_points."
            )
        self.vertices, self.voxel, self.reach, self.kernels = vertices, voxel, reach, kernels
        self.parts, self.n_parts = parts, len(parts)
        self.origin, shape = self._around_parts(vertices, spare)
        end = shape.prod(-1).cumsum(0, dtype=torch.int32)  # the parts' nodes lie one after another
        self.start = torch.nn.functional.pad(end, (1, 0))
        self.needed = end[-1:]  # nodes
        nodes = int(self.needed) if capacity is None else capacity
        self.shape = shape if capacity is None else torch.where(self.needed <= nodes, shape, 0)
        self.keys = self._filled(vertices, self.origin, nodes)

    def _around_parts(
        self, vertices: Float[Tensor, "K V 3"], spare: float = 0.0
    ) -> tuple[Float[Tensor, "K P 3"], Int[Tensor, "P 3"]]:
        """The lowest node of each part's grid (m), and the number of nodes along each axis: one for all bodies."""
        low = torch.stack([vertices[:, part].amin(1) for part in self.parts], 1) - self.reach
        high = torch.stack([vertices[:, part].amax(1) for part in self.parts], 1) + self.reach
        return low, (((high - low).amax(0) + spare) / self.voxel).ceil().int() + 1

    def has_room(self, vertices: Float[Tensor, "K V 3"]) -> Bool[Tensor, ""]:
        """See `NeighborIndex.has_room`."""
        return (self._around_parts(vertices)[1] <= self.shape).all()

    def replace(self, frames: Int[Tensor, "K"], vertices: Float[Tensor, "K V 3"]) -> None:
        """See `NeighborIndex.replace`."""
        origin, _ = self._around_parts(vertices)
        self.keys[frames] = self._filled(vertices, origin, self.keys.shape[1])
        self.origin[frames] = origin
        self.vertices[frames] = vertices

    def _filled(
        self, vertices: Float[Tensor, "K V 3"], origin: Float[Tensor, "K P 3"], nodes: int
    ) -> Int[Tensor, "K nodes"]:
        """The keys of some bodies.

        Upper 16 bits: distance. Lower 16 bits: body point. So the least key belongs to the nearest point.
        """
        keys = torch.full((len(vertices), nodes), EMPTY, dtype=torch.int32, device=vertices.device)
        parts, voxel, reach = self.parts, self.voxel, self.reach
        if chosen(self.kernels, vertices.device):
            from hashhuman.neighbors import grid_kernels

            members = torch.cat(parts).int()
            owners = [torch.full_like(part, index, dtype=torch.int32) for index, part in enumerate(parts)]
            table = origin, self.shape, self.start, keys
            grid_kernels.fill(vertices, members, torch.cat(owners), *table, voxel, reach, self.unit, self.steps)
        elif looped(self.kernels, vertices.device):
            from hashhuman.neighbors import grid_loops

            for index, part in enumerate(parts):
                place = origin[:, index], tuple(self.shape[index].tolist()), int(self.start[index]), keys
                grid_loops.fill(vertices, part, self._around(), *place, voxel, reach, self.unit)
        else:
            for points, low, mine in zip(vertices, origin, keys):
                for index in range(self.n_parts):
                    self._fill(points, low[index], mine, index)
        return keys

    @property
    def unit(self) -> float:
        """The resolution of stored distances (m)."""
        return self.reach / SCALE

    @property
    def steps(self) -> int:
        """The most nodes along an axis between a body point's nearest node and another node within reach of it."""
        return int(self.reach / self.voxel) + 1

    def bound(self, radius: float) -> float:
        """How near (m) a body point must be to the node that is nearest to a query, to be within `radius` of the query.

        Both distances differ by at most half a voxel's diagonal.
        """
        return min(radius + 0.87 * self.voxel, self.reach)

    def _around(self) -> Int[Tensor, "S 3"]:
        """The steps from a body point's nearest node to those that may lie within reach of the point."""
        span = torch.arange(-self.steps, self.steps + 1, device=self.origin.device)
        around = torch.stack(torch.meshgrid(span, span, span, indexing="ij"), -1).reshape(-1, 3)
        return around[(around.abs() - 0.5).clamp_min(0).norm(dim=-1) * self.voxel < self.reach]

    def _fill(
        self, points: Float[Tensor, "V 3"], low: Float[Tensor, "3"], keys: Int[Tensor, "nodes"], index: int
    ) -> None:
        """Writes each body point of a part to the nodes within reach that have no nearer one."""
        around, part = self._around(), self.parts[index]
        cell = (points[part] - low) / self.voxel
        node = cell.round().long()[:, None] + around
        distance = ((node - cell[:, None]) * self.voxel).norm(dim=-1)
        shape = self.shape[index]
        valid = (distance < self.reach) & ((node >= 0) & (node < shape)).all(-1)
        key = ((distance / self.unit).int() << 16) | part[:, None].int()
        place = self.start[index] + (node[..., 0] * shape[1] + node[..., 1]) * shape[2] + node[..., 2]
        keys.scatter_reduce_(0, place[valid], key[valid], "amin")

    def _node(self, node: Tensor, frames: Tensor, part: Tensor) -> Tensor:
        """Positions in the flattened keys of nodes (..., 3) of `frames` and `part` (...)."""
        shape = self.shape[part]
        inside = (node[..., 0] * shape[..., 1] + node[..., 1]) * shape[..., 2] + node[..., 2]
        return frames * self.keys.shape[1] + self.start[part] + inside

    def tensors(self) -> Iterator[Tensor]:
        """The body points and the grids."""
        yield from (self.vertices, self.origin, self.start, self.shape, self.keys)

    def query(self, points: Float[Tensor, "N 3"], frames: Int[Tensor, "N"], radius: float) -> Pairs:
        """See `NeighborIndex.query`. K = 8; candidates may repeat a body point, or be absent (distance inf)."""
        cell = (points - self.origin[frames].transpose(0, 1)) / self.voxel  # P N 3
        near = cell.round().long()
        inside = ((near >= 0) & (near < self.shape[:, None])).all(-1)
        part = torch.arange(self.n_parts, device=points.device)[:, None].expand(-1, len(points))
        node = torch.where(inside, self._node(near, frames, part), 0)
        possible = inside & ((self.keys.view(-1)[node] >> 16) * self.unit < self.bound(radius))
        part, point = possible.nonzero().unbind(1)
        pairs = self._refine(part, point, cell, points, frames)
        keep = pairs.distances.amin(1) < radius
        return Pairs(pairs.point[keep], pairs.part[keep], pairs.vertices[keep], pairs.distances[keep])

    def _refine(self, part: Tensor, point: Tensor, cell: Tensor, points: Tensor, frames: Tensor) -> Pairs:
        """The candidates at the corners of each pair's cell."""
        corners = torch.tensor([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], device=points.device)
        low = torch.minimum(cell[part, point].floor().long().clamp_min(0), self.shape[part] - 2)
        keys = self.keys.view(-1)[self._node(low[:, None] + corners, frames[point, None], part[:, None])]
        empty = keys == EMPTY
        vertices = (keys & 0xFFFF).masked_fill(empty, 0).long()
        of_frame = frames[point, None] * self.vertices.shape[1] + vertices
        # Looking up rows by one index takes a fraction of the time of indexing by frame and point.
        offset = torch.nn.functional.embedding(of_frame, self.vertices.flatten(0, 1)) - points[point, None]
        return Pairs(point, part, vertices, offset.norm(dim=-1).masked_fill(empty, torch.inf))
