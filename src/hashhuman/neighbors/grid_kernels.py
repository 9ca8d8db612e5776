"""Fills the grids of `GridNeighbors` on a GPU: all parts of all bodies in one launch."""

from typing import no_type_check

import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

POINTS, NODES = 16, 128  # of a program: body points, and nodes around each of them at a time


@triton.jit(do_not_specialize=["n_members", "n_vertices", "n_nodes", "n_parts"])
@no_type_check
def _fill(
    vertices, members, owners, origin, shape, start, keys, n_members, n_vertices, n_nodes, n_parts, voxel, reach, unit,
    STEPS: tl.constexpr, POINTS: tl.constexpr, NODES: tl.constexpr,
):  # fmt: skip
    """Writes each part's body points to the nodes within reach that have no nearer one."""
    frame = tl.program_id(1).to(tl.int64)
    member = tl.program_id(0) * POINTS + tl.arange(0, POINTS)
    live = member < n_members
    vertex = tl.load(members + member, mask=live, other=0)
    part = tl.load(owners + member, mask=live, other=0)
    place, low = vertices + (frame * n_vertices + vertex) * 3, origin + (frame * n_parts + part) * 3
    x = ((tl.load(place, mask=live, other=0.0) - tl.load(low)) / voxel)[:, None]
    y = ((tl.load(place + 1, mask=live, other=0.0) - tl.load(low + 1)) / voxel)[:, None]
    z = ((tl.load(place + 2, mask=live, other=0.0) - tl.load(low + 2)) / voxel)[:, None]
    sx = tl.load(shape + part * 3)[:, None]
    sy = tl.load(shape + part * 3 + 1)[:, None]
    sz = tl.load(shape + part * 3 + 2)[:, None]
    nodes = keys + frame * n_nodes + tl.load(start + part)[:, None]
    SIDE: tl.constexpr = 2 * STEPS + 1
    for first in range(0, SIDE * SIDE * SIDE, NODES):
        around = first + tl.arange(0, NODES)[None, :]
        i = tl.floor(x + 0.5).to(tl.int32) + around // (SIDE * SIDE) - STEPS
        j = tl.floor(y + 0.5).to(tl.int32) + around // SIDE % SIDE - STEPS
        k = tl.floor(z + 0.5).to(tl.int32) + around % SIDE - STEPS
        distance = tl.sqrt((i - x) * (i - x) + (j - y) * (j - y) + (k - z) * (k - z)) * voxel
        valid = live[:, None] & (around < SIDE * SIDE * SIDE) & (distance < reach)
        valid = valid & (i >= 0) & (j >= 0) & (k >= 0) & (i < sx) & (j < sy) & (k < sz)
        key = ((distance / unit).to(tl.int32) << 16) | vertex[:, None]
        node = nodes + (i * sy + j) * sz + k
        # Keys only decrease, so a plain load rules out most writes; it costs less than an atomic operation.
        wins = valid & (key < tl.load(node, mask=valid, other=0))
        tl.atomic_min(node, key, mask=wins, sem="relaxed")


def fill(
    vertices: Float[Tensor, "F V 3"],
    members: Int[Tensor, "W"],
    owners: Int[Tensor, "W"],
    origin: Float[Tensor, "F P 3"],
    shape: Int[Tensor, "P 3"],
    start: Int[Tensor, "P1"],
    keys: Int[Tensor, "F nodes"],
    voxel: float,
    reach: float,
    unit: float,
    steps: int,
) -> None:
    """Writes the keys of all grids of a `GridNeighbors`.

    Args:
        vertices: body points (m, posed space).
        members: indices of the points of all parts.
        owners: the part of each of these points.
        origin, shape, start, keys, voxel, reach, unit, steps: attributes of the `GridNeighbors`.
    """
    n_frames, n_vertices = vertices.shape[:2]
    _fill[triton.cdiv(len(members), POINTS), n_frames](
        vertices, members, owners, origin, shape, start, keys,
        len(members), n_vertices, keys.shape[1], len(shape), voxel, reach, unit,
        STEPS=steps, POINTS=POINTS, NODES=NODES,
    )  # fmt: skip
