"""`InverseSkinning` with `GridNeighbors` in Triton: one launch forward, another one for the gradients."""

import dataclasses
from collections.abc import Sequence
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.body.posed_bodies_kernels import from_body, turn_to_posed
from hashhuman.deformer.candidate_kernels import blend_map, blend_vector, candidates, in_voxels
from hashhuman.deformer.cells import Cells
from hashhuman.deformer.inverse_skinning_backward_kernels import carry_backward
from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.gpu.matrix_kernels import load_vector, store_vector, turn
from hashhuman.gpu.part_rows import GRANULE, PartRows, padded
from hashhuman.neighbors.grid import EMPTY, GridNeighbors

BLOCK = 128  # query points of a program
REGISTERS = 128  # of a thread at most; with more, too few programs run at a time to hide the latency of memory


@triton.jit(do_not_specialize=["used", "n_points", "n_vertices", "n_nodes", "n_rows", "resolution"])
@no_type_check
def _carry(
    positions, frames, used, world, vertices, maps, canonical, normals, texture,
    origin, shape, first_node, keys, cell_low, cell_extent, marked, needed, first_row, size,
    point_out, slot_out, x_out, rotation_out, normal_out, uv_out,
    n_points, n_vertices, n_nodes, n_rows, voxel, unit, bound, radius, reach, depth, falloff, resolution,
    PARTS: tl.constexpr, UV: tl.constexpr, EMPTY: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    point = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = (point < n_points) & (point < tl.load(used))
    frame = tl.load(frames + point, mask=live, other=0)
    pose = world + frame * 16
    wx, wy, wz = from_body(pose, positions, point, live)
    px, py, pz = turn_to_posed(pose, wx, wy, wz)
    for part in range(PARTS):
        x, y, z = in_voxels(origin + (frame * PARTS + part) * 3, voxel, px, py, pz, live)
        sx, sy, sz = tl.load(shape + part * 3), tl.load(shape + part * 3 + 1), tl.load(shape + part * 3 + 2)
        i, j, k = tl.floor(x + 0.5).to(tl.int32), tl.floor(y + 0.5).to(tl.int32), tl.floor(z + 0.5).to(tl.int32)
        inside = live & (i >= 0) & (j >= 0) & (k >= 0) & (i < sx) & (j < sy) & (k < sz)
        nodes = frame * n_nodes + tl.load(first_node + part)
        closest = tl.load(keys + nodes + (i * sy + j) * sz + k, mask=inside, other=0)
        keep = inside & ((closest >> 16) * unit < bound)
        found = tl.sum(keep.to(tl.int32), 0)
        if found > 0:
            vertex, squared, weight = candidates(
                nodes, shape + part * 3, keys, vertices, frame * n_vertices, px, py, pz, x, y, z, falloff, keep, EMPTY
            )
            least = tl.min(squared, 1)
            keep = keep & (least < radius * radius)
            here = keep[:, None]
            m = maps + (frame[:, None] * n_vertices + vertex) * 12
            linear, shift = blend_map(weight, m, here)
            cx, cy, cz = turn(linear, px, py, pz)
            cx, cy, cz = cx + shift[0], cy + shift[1], cz + shift[2]
            nx, ny, nz = blend_vector(weight, normals + vertex * 3, here)
            scale = 1.0 / tl.maximum(tl.sqrt(nx * nx + ny * ny + nz * nz), 1e-6)
            nx, ny, nz = nx * scale, ny * scale, nz * scale
            fx, fy, fz = blend_vector(weight, canonical + vertex * 3, here)
            height = (cx - fx) * nx + (cy - fy) * ny + (cz - fz) * nz
            keep = keep & (height > -depth) & (height < reach)
            cell = _cell(cell_low + part * 3, tl.load(cell_extent + part), resolution, part, cx, cy, cz)
            keep = keep & (tl.load(marked + cell, mask=keep, other=0) != 0)
            kept = keep.to(tl.int32)
            before = tl.atomic_add(needed + part, tl.sum(kept, 0))
            rank = tl.cumsum(kept, 0) - 1 + before
            keep = keep & (rank < tl.load(size + part))
            row = tl.load(first_row + part) + rank
            tl.store(slot_out + part * n_points + point, row, mask=keep)
            tl.store(point_out + row, point, mask=keep)
            store_vector(x_out + row, n_rows, cx, cy, cz, keep)
            store_vector(normal_out + row, n_rows, nx, ny, nz, keep)
            for column in tl.static_range(3):  # canonical from posed, times posed from world
                a, b, c = load_vector(pose + column * 4, 1, keep)
                a, b, c = turn(linear, a, b, c)
                store_vector(rotation_out + column * n_rows + row, 3 * n_rows, a, b, c, keep)
            if UV:
                u, v = _texture(weight, texture + vertex * 2, here, squared == least[:, None])
                tl.store(uv_out + row * 2, u, mask=keep)
                tl.store(uv_out + row * 2 + 1, v, mask=keep)


@triton.jit
@no_type_check
def _cell(low, extent, resolution, part, x, y, z):
    """`Cells.index` of a canonical position in its part's cube."""
    side = resolution / extent
    i = tl.minimum(tl.maximum(((x - tl.load(low)) * side).to(tl.int32), 0), resolution - 1)
    j = tl.minimum(tl.maximum(((y - tl.load(low + 1)) * side).to(tl.int32), 0), resolution - 1)
    k = tl.minimum(tl.maximum(((z - tl.load(low + 2)) * side).to(tl.int32), 0), resolution - 1)
    return ((part * resolution + i) * resolution + j) * resolution + k


@triton.jit
@no_type_check
def _texture(weight, texture, here, nearest):
    """Texture coordinates, blended over the candidates that lie in the same chart as the nearest one."""
    u = tl.load(texture, mask=here, other=0.0)
    v = tl.load(texture + 1, mask=here, other=0.0)
    order = tl.where(nearest, tl.arange(0, 8)[None, :], 8)  # of several equally near candidates, the first is chosen
    chosen = order == tl.min(order, 1)[:, None]
    near_u = tl.sum(tl.where(chosen, u, 0.0), 1)
    near_v = tl.sum(tl.where(chosen, v, 0.0), 1)
    far_off = tl.maximum(tl.abs(u - near_u[:, None]), tl.abs(v - near_v[:, None]))
    chart = tl.where(far_off < 0.05, weight, 0.0)
    total = tl.sum(chart, 1)
    return tl.sum(chart * u, 1) / total, tl.sum(chart * v, 1) / total


def _options(block: int) -> dict[str, int]:
    """How the kernels are compiled, with a program of `block` points or rows."""
    return {"BLOCK": block, "maxnreg": REGISTERS}


@dataclasses.dataclass(frozen=True)
class _Query:
    """The kernels' inputs that have no gradient; its methods launch the kernels.

    `world`, `maps` and `positions` below are `world_from_posed`, `canonical_from_posed` and the points' positions.
    """

    frames: Int[Tensor, "N"]  # each point's body
    used: Int[Tensor, "1"]  # number of points in use, from the first
    bodies: PosedBodies
    neighbors: GridNeighbors
    uv: Float[Tensor, "V 2"] | None
    cells: Cells
    reach: float
    depth: float
    falloff: float  # 1/m^2

    @property
    def tables(self) -> tuple[Tensor, ...]:
        """The tensors of the neighbour grids."""
        return self.neighbors.origin, self.neighbors.shape, self.neighbors.start, self.neighbors.keys

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of body points, and of nodes of a frame's grids."""
        return self.neighbors.vertices.shape[1], self.neighbors.keys.shape[1]

    def forward(self, world: Tensor, maps: Tensor, positions: Tensor, rows: "_Rows", outputs: Sequence[Tensor]) -> None:
        """Counts the rows that each part needs, and fills as many as its capacity holds."""
        bodies, neighbors, cells = self.bodies, self.neighbors, self.cells
        radius = max(self.reach, self.depth)
        arguments = [
            positions, self.frames, self.used, world, neighbors.vertices, maps, bodies.canonical_vertices,
            bodies.canonical_normals, positions if self.uv is None else self.uv, *self.tables,
            cells.low, cells.extent, cells.marked, rows.needed, rows.first, rows.size, rows.point, rows.slots,
            *outputs, rows.uv, len(positions), *self.sizes, rows.total,
            neighbors.voxel, neighbors.unit, neighbors.bound(radius), radius, self.reach, self.depth, self.falloff,
            cells.resolution,
        ]  # fmt: skip
        _carry[(max(1, triton.cdiv(len(positions), BLOCK)),)](
            *arguments, PARTS=neighbors.n_parts, UV=self.uv is not None, EMPTY=EMPTY,
            **_options(BLOCK),
        )  # fmt: skip

    def backward(
        self, inputs: Sequence[Tensor], rows: "_Rows", d_x: Tensor, d_rotation: Tensor, grads: Sequence[Tensor | None]
    ) -> None:
        """Adds to the gradients of `world`, `maps` and `positions`; a gradient that is None is not computed."""
        of_world, of_maps, of_positions = (grad is not None for grad in grads)
        arguments = [
            *inputs, self.frames, self.neighbors.vertices, *self.tables, rows.point, rows.first, rows.needed,
            d_x, *d_x.stride(), d_rotation, *d_rotation.stride(), *(d_x if grad is None else grad for grad in grads),
            *self.sizes, self.neighbors.voxel, self.falloff,
        ]  # fmt: skip
        carry_backward[(rows.total // GRANULE,)](
            *arguments, OF_WORLD=of_world, OF_MAPS=of_maps, OF_POSITIONS=of_positions,
            PARTS=self.neighbors.n_parts, EMPTY=EMPTY, **_options(GRANULE),
        )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The layout of the parts' rows, and the kernel's outputs without gradients (see `CanonicalPairs`)."""

    first: Int[Tensor, "P"]  # each part's first row
    size: Int[Tensor, "P"]  # each part's capacity
    needed: Int[Tensor, "P"]  # counted by the kernel, from zero
    point: Int[Tensor, "M"]
    slots: Int[Tensor, "P N"]
    uv: Float[Tensor, "_ 2"]  # without rows if texture coordinates are not requested
    total: int  # M

    @classmethod
    def reserve(cls, capacity: tuple[int, ...], n_points: int, uv: bool, device: torch.device) -> "_Rows":
        """Allocates as many rows as the capacity says, all of them unused."""
        total = sum(capacity)
        # Filled one by one, because a copy from the host cannot be captured in a CUDA graph.
        size = torch.cat([torch.full((1,), rows, dtype=torch.int32, device=device) for rows in capacity])
        return cls(
            first=size.cumsum(0, dtype=torch.int32) - size,
            size=size,
            needed=torch.zeros_like(size),
            point=torch.zeros(total, dtype=torch.int32, device=device),
            slots=torch.full((len(capacity), n_points), -1, dtype=torch.int32, device=device),
            uv=torch.zeros(total if uv else 0, 2, device=device),
            total=total,
        )

    @classmethod
    def to_count(cls, n_parts: int, device: torch.device) -> "_Rows":
        """No rows, for a launch that only counts how many are needed."""
        needed = torch.zeros(n_parts, dtype=torch.int32, device=device)
        none = torch.zeros_like(needed)
        return cls(none, none, needed, none[:0], none.new_zeros(n_parts, 0), torch.zeros(0, 2, device=device), 0)


class _Carry(torch.autograd.Function):
    """Canonical positions, rotations and normals. Candidates, weights and normals count as constant."""

    @staticmethod
    def forward(ctx, world: Tensor, maps: Tensor, positions: Tensor, query: _Query, rows: _Rows):
        # Stored component by component, so that neighbouring rows are contiguous.
        x, rotation, normal = torch.zeros(15, rows.total, device=positions.device).split([3, 9, 3])
        query.forward(world, maps, positions, rows, (x, rotation, normal))
        ctx.save_for_backward(world, maps, positions)
        ctx.query, ctx.rows = query, rows
        ctx.set_materialize_grads(False)
        normal = normal.t()
        ctx.mark_non_differentiable(normal)
        return x.t(), rotation.t().unflatten(1, (3, 3)), normal

    @staticmethod
    def backward(ctx, *upstream: Tensor | None):
        inputs, rows = ctx.saved_tensors, ctx.rows
        nothing = inputs[2].new_zeros(1, 1, 1)
        d_x = nothing[0].expand(rows.total, 3) if upstream[0] is None else upstream[0]
        d_rotation = nothing.expand(rows.total, 3, 3) if upstream[1] is None else upstream[1]
        grads = [torch.zeros_like(x) if needed else None for x, needed in zip(inputs, ctx.needs_input_grad)]
        if rows.total:
            ctx.query.backward(inputs, rows, d_x, d_rotation, grads)
        return *grads, None, None


def carry(
    points: Points,
    bodies: PosedBodies,
    neighbors: GridNeighbors,
    uv: Float[Tensor, "V 2"] | None,
    cells: Cells | None,
    reach: float,
    depth: float,
    smoothness: float,
    capacity: tuple[int, ...] | None,
) -> CanonicalPairs:
    """Carries points as `InverseSkinning` does, with the same gradients; see there for the arguments.

    Within a part, the order of rows may differ from run to run, and so may the last digits of the gradients.

    Args:
        capacity: number of rows to reserve for each part (multiples of GRANULE); None: as many as there are. These are
            counted by a further launch, for which the host waits.
    """
    device, n_points, n_parts = points.position.device, len(points.position), neighbors.n_parts
    # Never None and always int32, so that there is only one variant of the kernel.
    used = torch.full((1,), n_points, dtype=torch.int32, device=device) if points.used is None else points.used.int()
    cells = Cells.all(n_parts, device) if cells is None else cells
    falloff = 1 / (2 * smoothness**2)
    query = _Query(points.frame.contiguous(), used, bodies, neighbors, uv, cells, reach, depth, falloff)
    inputs = bodies.world_from_posed, bodies.canonical_from_posed, points.position
    world, maps, positions = (x.contiguous() for x in inputs)
    if capacity is None:
        rows = _Rows.to_count(n_parts, device)
        with torch.no_grad():
            query.forward(world, maps, positions, rows, [bodies.vertices] * 3)
        capacity = tuple(padded(count) for count in rows.needed.tolist())
    rows = _Rows.reserve(capacity, n_points, uv is not None, device)
    x, rotation, normal = _Carry.apply(world, maps, positions, query, rows)  # type: ignore[misc]
    return CanonicalPairs(
        rows=PartRows(capacity, torch.minimum(rows.needed, rows.size)),
        point=rows.point,
        slots=rows.slots,
        x=x,
        rotation=rotation,
        normal=normal,
        uv=None if uv is None else rows.uv,
        points=points,
        frame_time=bodies.time,
        needed=rows.needed,
    )
