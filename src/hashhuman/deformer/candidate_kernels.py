"""Device functions shared by the forward and backward kernels of inverse skinning: candidates, weights and blends.

A program works on a block of points of one part. Each point has eight candidates: the body points that `GridNeighbors`
stores at the corners of its voxel.
"""

from typing import no_type_check

import triton
import triton.language as tl

from hashhuman.gpu.matrix_kernels import load_vector


@triton.jit
@no_type_check
def in_voxels(origin, voxel, px, py, pz, live):
    """Posed positions (m) in units of voxels from a grid's lowest node; `origin` points to that node's position."""
    low_x, low_y, low_z = load_vector(origin, 1, live)
    return (px - low_x) / voxel, (py - low_y) / voxel, (pz - low_z) / voxel


@triton.jit
@no_type_check
def candidates(
    nodes, shape, keys, vertices, first_vertex, px, py, pz, x, y, z, falloff, live, EMPTY: tl.constexpr
):  # fmt: skip
    """The candidates' body points, squared distances (m^2, infinite for an absent one) and normalised weights.

    Args:
        nodes: index in `keys` of the first node of each point's grid.
        shape: pointer to the grid's number of nodes along each axis.
        first_vertex: index in `vertices` of the first body point of each point's frame.
        px, py, pz: posed positions (m).
        x, y, z: the same positions in units of the grid's voxels.
    """
    corner = tl.arange(0, 8)[None, :]
    ci, cj, ck = corner // 4, corner // 2 % 2, corner % 2
    sx, sy, sz = tl.load(shape), tl.load(shape + 1), tl.load(shape + 2)
    i = tl.minimum(tl.maximum(tl.floor(x).to(tl.int32), 0), sx - 2)
    j = tl.minimum(tl.maximum(tl.floor(y).to(tl.int32), 0), sy - 2)
    k = tl.minimum(tl.maximum(tl.floor(z).to(tl.int32), 0), sz - 2)
    node = nodes[:, None] + ((i[:, None] + ci) * sy + j[:, None] + cj) * sz + k[:, None] + ck
    here = live[:, None]
    key = tl.load(keys + node, mask=here, other=EMPTY)
    empty = key == EMPTY
    vertex = tl.where(empty, 0, key & 0xFFFF)
    vx, vy, vz = load_vector(vertices + (first_vertex[:, None] + vertex) * 3, 1, here)
    ex, ey, ez = vx - px[:, None], vy - py[:, None], vz - pz[:, None]
    squared = tl.where(empty, float("inf"), ex * ex + ey * ey + ez * ez)
    least = tl.where(tl.min(squared, 1) < float("inf"), tl.min(squared, 1), 0.0)  # a point may have no candidate
    weight = tl.where(empty, 0.0, tl.exp(-(squared - least[:, None]) * falloff))
    # The nearest candidate's weight is 1, so the sum is at least 1 unless there is no candidate.
    return vertex, squared, weight / tl.maximum(tl.sum(weight, 1), 1.0)[:, None]


@triton.jit
@no_type_check
def blend(weight, values, here):
    """Weighted sum of the candidates' values: one number for each point."""
    return tl.sum(weight * tl.load(values, mask=here, other=0.0), 1)


@triton.jit
@no_type_check
def blend_vector(weight, vectors, here):
    """Weighted sum of the candidates' vectors."""
    return blend(weight, vectors, here), blend(weight, vectors + 1, here), blend(weight, vectors + 2, here)


@triton.jit
@no_type_check
def blend_map(weight, maps, here):
    """Weighted sum of the candidates' affine maps (3 x 4, row by row): its linear part, then its translation."""
    a, b, c, x = _blend_row(weight, maps, here)
    d, e, f, y = _blend_row(weight, maps + 4, here)
    g, h, i, z = _blend_row(weight, maps + 8, here)
    return (a, b, c, d, e, f, g, h, i), (x, y, z)


@triton.jit
@no_type_check
def _blend_row(weight, rows, here):
    """Weighted sum of the candidates' rows of four numbers, which lie side by side and are loaded at once."""
    four = tl.load(rows[:, :, None] + tl.arange(0, 4)[None, None, :], mask=here[:, :, None], other=0.0)
    sums = tl.sum(weight[:, :, None] * four, 1)
    even, odd = tl.split(tl.reshape(sums, [sums.shape[0], 2, 2]))
    a, c = tl.split(even)
    b, d = tl.split(odd)
    return a, b, c, d
