"""`InverseSkinning` with `GridNeighbors` in loops for the CPU, without gradients."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.cpu.loops import array, compiled, in_parallel
from hashhuman.deformer.cells import Cells
from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.gpu.part_rows import PartRows, padded
from hashhuman.neighbors.grid import EMPTY, GridNeighbors

X, ROTATION, NORMAL, UV, WIDTH = 0, 3, 12, 15, 17  # columns of a pair's values


@compiled
def _carry(
    first, last, positions, frames, world, maps, canonical, normals, texture, vertices, origin, shape, start, keys,
    cell_low, cell_extent, marked, resolution, voxel, unit, bound, radius, reach, depth, falloff,
):  # fmt: skip
    """The pairs of some points: part, point, values, and their number in each part.

    It is one piece, since divided into functions it took a fifth more time.
    """
    n_parts = len(shape)
    most = (last - first) * n_parts
    parts, points = np.empty(most, np.int32), np.empty(most, np.int64)
    values = np.empty((most, WIDTH), np.float32)
    counts = np.zeros(n_parts, np.int64)
    vertex, times = np.empty(8, np.int64), np.empty(8, np.float32)
    squared, weight = np.empty(8, np.float32), np.empty(8, np.float32)
    linear = np.empty(12, np.float32)
    found = 0
    for point in range(first, last):
        frame = frames[point]
        pose = world[frame]
        ox = positions[point, 0] - pose[0, 3]
        oy = positions[point, 1] - pose[1, 3]
        oz = positions[point, 2] - pose[2, 3]
        px = pose[0, 0] * ox + pose[1, 0] * oy + pose[2, 0] * oz
        py = pose[0, 1] * ox + pose[1, 1] * oy + pose[2, 1] * oz
        pz = pose[0, 2] * ox + pose[1, 2] * oy + pose[2, 2] * oz
        for part in range(n_parts):
            x = (px - origin[frame, part, 0]) / voxel
            y = (py - origin[frame, part, 1]) / voxel
            z = (pz - origin[frame, part, 2]) / voxel
            sx, sy, sz = shape[part, 0], shape[part, 1], shape[part, 2]
            i, j, k = int(np.rint(x)), int(np.rint(y)), int(np.rint(z))
            if not (0 <= i < sx and 0 <= j < sy and 0 <= k < sz):
                continue
            if np.float32(keys[frame, start[part] + (i * sy + j) * sz + k] >> 16) * unit >= bound:
                continue
            i = min(max(int(np.floor(x)), 0), sx - 2)
            j = min(max(int(np.floor(y)), 0), sy - 2)
            k = min(max(int(np.floor(z)), 0), sz - 2)
            least, nearest, n_found = np.float32(np.inf), 0, 0
            for corner in range(8):
                node = ((i + (corner >> 2)) * sy + j + ((corner >> 1) & 1)) * sz + k + (corner & 1)
                key = keys[frame, start[part] + node]
                if key == EMPTY:
                    continue
                v, known = key & 0xFFFF, 0
                while known < n_found and vertex[known] != v:
                    known += 1
                if known < n_found:  # several corners name the same point, which then counts as often
                    times[known] += 1
                    continue
                vertex[n_found], times[n_found] = v, 1
                a, b, c = vertices[frame, v, 0] - px, vertices[frame, v, 1] - py, vertices[frame, v, 2] - pz
                squared[n_found] = a * a + b * b + c * c
                if squared[n_found] < least:
                    least, nearest = squared[n_found], n_found
                n_found += 1
            if not least < radius * radius:
                continue
            total = np.float32(0)
            for one in range(n_found):
                weight[one] = times[one] * np.exp((least - squared[one]) * falloff)
                total += weight[one]
            linear[:] = 0
            nx = ny = nz = fx = fy = fz = np.float32(0)
            for one in range(n_found):
                w = weight[one] / total
                weight[one] = w
                if w == 0:
                    continue
                v = vertex[one]
                for row in range(3):
                    for column in range(4):
                        linear[4 * row + column] += w * maps[frame, v, row, column]
                nx, ny, nz = nx + w * normals[v, 0], ny + w * normals[v, 1], nz + w * normals[v, 2]
                fx, fy, fz = fx + w * canonical[v, 0], fy + w * canonical[v, 1], fz + w * canonical[v, 2]
            cx = linear[0] * px + linear[1] * py + linear[2] * pz + linear[3]
            cy = linear[4] * px + linear[5] * py + linear[6] * pz + linear[7]
            cz = linear[8] * px + linear[9] * py + linear[10] * pz + linear[11]
            size = max(np.sqrt(nx * nx + ny * ny + nz * nz), np.float32(1e-6))
            nx, ny, nz = nx / size, ny / size, nz / size
            height = (cx - fx) * nx + (cy - fy) * ny + (cz - fz) * nz
            if not -depth < height < reach:
                continue
            side = cell_extent[part]
            i = min(max(int((cx - cell_low[part, 0]) / side * resolution), 0), resolution - 1)
            j = min(max(int((cy - cell_low[part, 1]) / side * resolution), 0), resolution - 1)
            k = min(max(int((cz - cell_low[part, 2]) / side * resolution), 0), resolution - 1)
            if not marked[((part * resolution + i) * resolution + j) * resolution + k]:
                continue
            parts[found], points[found] = part, point
            out = values[found]
            out[X], out[X + 1], out[X + 2] = cx, cy, cz
            for row in range(3):
                a, b, c = linear[4 * row], linear[4 * row + 1], linear[4 * row + 2]
                for column in range(3):  # canonical from posed, times posed from world
                    turned = a * pose[column, 0] + b * pose[column, 1] + c * pose[column, 2]
                    out[ROTATION + 3 * row + column] = turned
            out[NORMAL], out[NORMAL + 1], out[NORMAL + 2] = nx, ny, nz
            if len(texture):
                near_u, near_v = texture[vertex[nearest], 0], texture[vertex[nearest], 1]
                u = v_ = chart = np.float32(0)
                for one in range(n_found):
                    a, b = texture[vertex[one], 0], texture[vertex[one], 1]
                    if max(abs(a - near_u), abs(b - near_v)) < np.float32(0.05):  # in the nearest point's chart
                        w = weight[one]
                        u, v_, chart = u + w * a, v_ + w * b, chart + w
                out[UV], out[UV + 1] = u / chart, v_ / chart
            counts[part] += 1
            found += 1
    return parts[:found], points[:found], values[:found], counts


@compiled
def _arrange(parts, points, values, place, point_out, slots, x, rotation, normal, uv):
    """Writes pairs to their rows; `place` is each part's next free row."""
    for i in range(len(parts)):
        part, point = parts[i], points[i]
        row = place[part]
        place[part] += 1
        point_out[row], slots[part, point] = point, row
        for axis in range(3):
            x[row, axis], normal[row, axis] = values[i, X + axis], values[i, NORMAL + axis]
            for column in range(3):
                rotation[row, axis, column] = values[i, ROTATION + 3 * axis + column]
        if len(uv):
            uv[row, 0], uv[row, 1] = values[i, UV], values[i, UV + 1]


def differentiable(points: Points, bodies: PosedBodies) -> bool:
    """Whether somebody asks for gradients, which the loops do not compute."""
    inputs = points.position, bodies.world_from_posed, bodies.canonical_from_posed
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)


def carry(
    points: Points,
    bodies: PosedBodies,
    neighbors: GridNeighbors,
    uv: Float[Tensor, "V 2"] | None,
    cells: Cells | None,
    reach: float,
    depth: float,
    smoothness: float,
) -> CanonicalPairs:
    """Carries the points near the body to canonical space as `InverseSkinning` does; see there. Nothing has gradients.

    Rows are in the order of the points, whatever the number of threads.
    """
    cells = cells or Cells.all(neighbors.n_parts, points.position.device)
    radius = max(reach, depth)
    nothing = np.zeros((0, 2), np.float32)
    n_points = len(points.position) if points.used is None else int(points.used)
    pieces = in_parallel(
        _carry, n_points, array(points.position), array(points.frame, torch.long),
        array(bodies.world_from_posed), array(bodies.canonical_from_posed), array(bodies.canonical_vertices),
        array(bodies.canonical_normals), nothing if uv is None else array(uv), array(neighbors.vertices),
        array(neighbors.origin), array(neighbors.shape, torch.long), array(neighbors.start, torch.long),
        array(neighbors.keys, torch.int32), array(cells.low), array(cells.extent), array(cells.marked, torch.uint8),
        cells.resolution,
        *map(np.float32, (neighbors.voxel, neighbors.unit, neighbors.bound(radius), radius)),
        *map(np.float32, (reach, depth, 0.5 / smoothness**2)),
    )  # fmt: skip
    counts = np.array([piece[-1] for piece in pieces])
    used = counts.sum(0)
    rows = PartRows(tuple(padded(int(n)) for n in used), torch.from_numpy(used.astype(np.int32)))
    point = torch.zeros(rows.total, dtype=torch.long)
    slots = torch.full((neighbors.n_parts, len(points.position)), -1)
    x, rotation, normal = torch.zeros(rows.total, 3), torch.zeros(rows.total, 3, 3), torch.zeros(rows.total, 3)
    texture = None if uv is None else torch.zeros(rows.total, 2)
    outputs = [tensor.numpy() for tensor in (point, slots, x, rotation, normal)]
    outputs.append(nothing if texture is None else texture.numpy())
    places = np.array(rows.starts) + counts.cumsum(0) - counts
    for place, (parts, at, values, _) in zip(places, pieces):
        _arrange(parts, at, values, place, *outputs)
    return CanonicalPairs(rows, point, slots, x, rotation, normal, texture, points, bodies.time, rows.used)
