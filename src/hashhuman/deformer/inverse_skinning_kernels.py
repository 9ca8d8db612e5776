"""`InverseSkinning` with `GridNeighbors` on a GPU, in one launch."""

from collections.abc import Sequence
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.body.posed_bodies_kernels import from_body, turn_to_posed
from hashhuman.deformer.cells import Cells
from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.gpu.part_rows import PartRows, padded
from hashhuman.neighbors.grid import EMPTY, GridNeighbors

BLOCK = 128  # query points of a program


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
    corner = tl.arange(0, 8)[None, :]
    ci, cj, ck = corner // 4, corner // 2 % 2, corner % 2
    for part in range(PARTS):
        sx, sy, sz = tl.load(shape + part * 3), tl.load(shape + part * 3 + 1), tl.load(shape + part * 3 + 2)
        low = origin + (frame * PARTS + part) * 3
        x = (px - tl.load(low, mask=live, other=0.0)) / voxel
        y = (py - tl.load(low + 1, mask=live, other=0.0)) / voxel
        z = (pz - tl.load(low + 2, mask=live, other=0.0)) / voxel
        i, j, k = tl.floor(x + 0.5).to(tl.int32), tl.floor(y + 0.5).to(tl.int32), tl.floor(z + 0.5).to(tl.int32)
        inside = live & (i >= 0) & (j >= 0) & (k >= 0) & (i < sx) & (j < sy) & (k < sz)
        nodes = frame * n_nodes + tl.load(first_node + part)
        closest = tl.load(keys + nodes + (i * sy + j) * sz + k, mask=inside, other=0)
        keep = inside & ((closest >> 16) * unit < bound)
        found = tl.sum(keep.to(tl.int32), 0)
        if found > 0:
            i = tl.minimum(tl.maximum(tl.floor(x).to(tl.int32), 0), sx - 2)
            j = tl.minimum(tl.maximum(tl.floor(y).to(tl.int32), 0), sy - 2)
            k = tl.minimum(tl.maximum(tl.floor(z).to(tl.int32), 0), sz - 2)
            node = nodes[:, None] + ((i[:, None] + ci) * sy + j[:, None] + cj) * sz + k[:, None] + ck
            here = keep[:, None]
            key = tl.load(keys + node, mask=here, other=0)
            empty = key == EMPTY
            vertex = tl.where(empty, 0, key & 0xFFFF)
            body = frame[:, None] * n_vertices + vertex
            ex = tl.load(vertices + body * 3, mask=here, other=0.0) - px[:, None]
            ey = tl.load(vertices + body * 3 + 1, mask=here, other=0.0) - py[:, None]
            ez = tl.load(vertices + body * 3 + 2, mask=here, other=0.0) - pz[:, None]
            squared = tl.where(empty, float("inf"), ex * ex + ey * ey + ez * ez)
            least = tl.min(squared, 1)
            keep = keep & (least < radius * radius)
            weight = tl.where(empty | (keep == 0)[:, None], 0.0, tl.exp(-(squared - least[:, None]) * falloff))
            weight = tl.where(keep[:, None], weight / tl.sum(weight, 1)[:, None], 0.0)
            here = keep[:, None]
            m = maps + body * 12
            m00, m01, m02, cx = _row_of_map(weight, m, here, px, py, pz)
            m10, m11, m12, cy = _row_of_map(weight, m + 4, here, px, py, pz)
            m20, m21, m22, cz = _row_of_map(weight, m + 8, here, px, py, pz)
            nx, ny, nz = _mixed_vector(weight, normals + vertex * 3, here)
            scale = 1.0 / tl.maximum(tl.sqrt(nx * nx + ny * ny + nz * nz), 1e-6)
            nx, ny, nz = nx * scale, ny * scale, nz * scale
            fx, fy, fz = _mixed_vector(weight, canonical + vertex * 3, here)
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
            _store_vector(x_out, n_rows, row, cx, cy, cz, keep)
            _store_vector(normal_out, n_rows, row, nx, ny, nz, keep)
            for column in tl.static_range(3):  # canonical from posed, times posed from world
                a = tl.load(pose + column * 4, mask=keep, other=0.0)
                b = tl.load(pose + column * 4 + 1, mask=keep, other=0.0)
                c = tl.load(pose + column * 4 + 2, mask=keep, other=0.0)
                tl.store(rotation_out + column * n_rows + row, m00 * a + m01 * b + m02 * c, mask=keep)
                tl.store(rotation_out + (3 + column) * n_rows + row, m10 * a + m11 * b + m12 * c, mask=keep)
                tl.store(rotation_out + (6 + column) * n_rows + row, m20 * a + m21 * b + m22 * c, mask=keep)
            if UV:
                u, v = _texture(weight, texture + vertex * 2, here, squared == least[:, None], corner)
                tl.store(uv_out + row * 2, u, mask=keep)
                tl.store(uv_out + row * 2 + 1, v, mask=keep)


@triton.jit
@no_type_check
def _mixed(weight, values, here):
    """The candidates' values, weighted: one number a point."""
    return tl.sum(weight * tl.load(values, mask=here, other=0.0), 1)


@triton.jit
@no_type_check
def _mixed_vector(weight, vectors, here):
    """The candidates' vectors, weighted."""
    return _mixed(weight, vectors, here), _mixed(weight, vectors + 1, here), _mixed(weight, vectors + 2, here)


@triton.jit
@no_type_check
def _row_of_map(weight, row, here, x, y, z):
    """A row of the candidates' affine maps, weighted: its linear part, and what it makes of a position."""
    a, b, c = _mixed_vector(weight, row, here)
    return a, b, c, a * x + b * y + c * z + _mixed(weight, row + 3, here)


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
def _texture(weight, texture, here, nearest, corner):
    """Texture coordinates, weighted over the candidates on the nearest one's side of any seam."""
    u = tl.load(texture, mask=here, other=0.0)
    v = tl.load(texture + 1, mask=here, other=0.0)
    order = tl.where(nearest, corner, 8)  # of several that are equally near, the first counts
    chosen = order == tl.min(order, 1)[:, None]
    near_u = tl.sum(tl.where(chosen, u, 0.0), 1)
    near_v = tl.sum(tl.where(chosen, v, 0.0), 1)
    far_off = tl.maximum(tl.abs(u - near_u[:, None]), tl.abs(v - near_v[:, None]))
    chart = tl.where(far_off < 0.05, weight, 0.0)
    total = tl.sum(chart, 1)
    return tl.sum(chart * u, 1) / total, tl.sum(chart * v, 1) / total


@triton.jit
@no_type_check
def _store_vector(to, n_rows, row, x, y, z, keep):
    """Writes vectors component by component."""
    tl.store(to + row, x, mask=keep)
    tl.store(to + n_rows + row, y, mask=keep)
    tl.store(to + 2 * n_rows + row, z, mask=keep)


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
    """What `InverseSkinning` does; see there. Within a part, the order of rows may differ from run to run.

    Args:
        capacity: rows to reserve for each part (multiples of GRANULE); None for as many as there are, which another
            launch counts and the host has to wait for.
    """
    device, n_points, parts = points.position.device, len(points.position), neighbors.n_parts
    radius = max(reach, depth)
    positions, frames = points.position.contiguous(), points.frame.contiguous()
    nothing = torch.zeros(parts, dtype=torch.int32, device=device)
    if cells is None:
        cells = Cells.all(parts, device)
    # Always there, and of one type, so that one kernel serves all.
    used = torch.full_like(nothing[:1], n_points) if points.used is None else points.used.int()
    body = (
        bodies.world_from_posed, bodies.vertices, bodies.canonical_from_posed, bodies.canonical_vertices,
        bodies.canonical_normals, uv if uv is not None else positions,
    )  # fmt: skip
    tables = neighbors.origin, neighbors.shape, neighbors.start, neighbors.keys
    grid = cells.low, cells.extent, cells.marked
    numbers = (
        neighbors.voxel, neighbors.unit, min(radius + 0.87 * neighbors.voxel, neighbors.reach), radius, reach, depth,
        1 / (2 * smoothness**2), cells.resolution,
    )  # fmt: skip

    def launch(needed: Tensor, first_row: Tensor, size: Tensor, outputs: Sequence[Tensor], n_rows: int) -> None:
        arguments = [
            positions, frames, used, *body, *tables, *grid, needed, first_row, size, *outputs,
            n_points, bodies.vertices.shape[1], neighbors.keys.shape[1], n_rows, *numbers,
        ]  # fmt: skip
        _carry[(max(1, triton.cdiv(n_points, BLOCK)),)](
            *arguments, PARTS=parts, UV=uv is not None, EMPTY=EMPTY, BLOCK=BLOCK,
        )  # fmt: skip

    if capacity is None:
        counted = torch.zeros_like(nothing)
        launch(counted, nothing, nothing, (nothing, nothing, *[bodies.vertices] * 4), 0)  # no capacity: it only counts
        capacity = tuple(padded(count) for count in counted.tolist())
    n_rows = sum(capacity)
    size = torch.cat([torch.full((1,), x, dtype=torch.int32, device=device) for x in capacity])
    point = torch.zeros(n_rows, dtype=torch.int32, device=device)
    slots = torch.full((parts, n_points), -1, dtype=torch.int32, device=device)
    # Component by component, so that neighbouring rows are stored side by side.
    x, rotation, normal = torch.zeros(15, n_rows, device=device).split([3, 9, 3])
    texture = torch.zeros(0 if uv is None else n_rows, 2, device=device)
    needed = torch.zeros_like(nothing)
    launch(needed, size.cumsum(0, dtype=torch.int32) - size, size, (point, slots, x, rotation, normal, texture), n_rows)
    return CanonicalPairs(
        rows=PartRows(capacity, torch.minimum(needed, size)),
        point=point,
        slots=slots,
        x=x.t(),
        rotation=rotation.t().unflatten(1, (3, 3)),
        normal=normal.t(),
        uv=None if uv is None else texture,
        points=points,
        frame_time=bodies.time,
        needed=needed,
    )
