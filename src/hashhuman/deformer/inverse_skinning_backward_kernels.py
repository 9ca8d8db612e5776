"""The gradients of inverse skinning in Triton."""

from typing import no_type_check

import triton
import triton.language as tl

from hashhuman.body.posed_bodies_kernels import from_body, turn_to_posed
from hashhuman.deformer.candidate_kernels import blend_map, candidates, in_voxels
from hashhuman.gpu.matrix_kernels import load_matrix, load_vector, turn, turn_back


@triton.jit(do_not_specialize=["n_vertices", "n_nodes", "dx_row", "dx_axis", "dq_row", "dq_axis", "dq_column"])
@no_type_check
def carry_backward(
    world, maps, positions, frames, vertices, origin, shape, first_node, keys, point_of, first_row, needed,
    d_x, dx_row, dx_axis, d_rotation, dq_row, dq_axis, dq_column, d_world, d_maps, d_positions,
    n_vertices, n_nodes, voxel, falloff,
    OF_WORLD: tl.constexpr, OF_MAPS: tl.constexpr, OF_POSITIONS: tl.constexpr,
    PARTS: tl.constexpr, EMPTY: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Adds the rows' contributions to the requested gradients.

    A program works on rows of one part and finds their candidates again, as the forward kernel did. With w = world - t,
    p = R^T w, the blended map x = L p + c and the rotation Q = L R^T: dL = dx p^T + dQ R, dc = dx, dp = L^T dx,
    dw = R dp, dt = -R dp and dR = w dp^T + dQ^T L.
    """
    first = tl.program_id(0) * BLOCK
    part = 0
    for later in tl.static_range(1, PARTS):
        part += (first >= tl.load(first_row + later)).to(tl.int32)
    left = tl.load(first_row + part) + tl.load(needed + part) - first
    if left > 0:
        live = tl.arange(0, BLOCK) < left
        row = first + tl.arange(0, BLOCK)
        point = tl.load(point_of + row, mask=live, other=0)
        frame = tl.load(frames + point, mask=live, other=0)
        pose = world + frame * 16
        w = from_body(pose, positions, point, live)
        p = turn_to_posed(pose, w[0], w[1], w[2])  # computed as in the forward kernel, to find the same candidates
        x, y, z = in_voxels(origin + (frame * PARTS + part) * 3, voxel, p[0], p[1], p[2], live)
        nodes = frame * n_nodes + tl.load(first_node + part)
        vertex, _, weight = candidates(
            nodes, shape + part * 3, keys, vertices, frame * n_vertices, p[0], p[1], p[2], x, y, z, falloff, live, EMPTY
        )
        place = (frame[:, None] * n_vertices + vertex) * 12
        turned = load_matrix(pose, 4, 1, live)
        dx = load_vector(d_x + row * dx_row, dx_axis, live)
        dq = load_matrix(d_rotation + row * dq_row, dq_axis, dq_column, live)
        if OF_MAPS:
            for i in tl.static_range(3):
                a, b, c = turn_back(turned, dq[3 * i], dq[3 * i + 1], dq[3 * i + 2])
                a, b, c = a + dx[i] * p[0], b + dx[i] * p[1], c + dx[i] * p[2]
                _add_to_map(d_maps + place + 4 * i, weight, a, b, c, dx[i])
        if OF_WORLD or OF_POSITIONS:
            linear, _ = blend_map(weight, maps + place, live[:, None])
            dp = turn_back(linear, dx[0], dx[1], dx[2])
            dw = turn(turned, dp[0], dp[1], dp[2])
            if OF_POSITIONS:
                for i in tl.static_range(3):  # atomic, since a point may have a row in each part
                    tl.atomic_add(d_positions + point * 3 + i, dw[i], mask=live, sem="relaxed")
            if OF_WORLD:
                _add_to_poses(d_world, frame, live, w, dp, dw, dq, linear)


@triton.jit
@no_type_check
def _add_to_map(target, weight, a, b, c, d):
    """Adds a row of the blended map's gradient, times the weight, to the gradient of each candidate's map."""
    # The four numbers lie side by side: one atomic operation adds all of them on GPUs that can (compute capability 9).
    row = tl.reshape(tl.join(tl.join(a, c), tl.join(b, d)), [a.shape[0], 4])
    place = target[:, :, None] + tl.arange(0, 4)[None, None, :]
    tl.atomic_add(place, weight[:, :, None] * row[:, None, :], mask=(weight > 0)[:, :, None], sem="relaxed")


@triton.jit
@no_type_check
def _add_to_poses(d_world, frame, live, w, dp, dw, dq, linear):
    """Adds the rows' contributions to the gradients of the frames' poses.

    Contributions are summed over the rows of a frame first. Otherwise many rows would wait for the same twelve numbers.
    """
    left = live
    while tl.max(left.to(tl.int32), 0) > 0:
        one = tl.min(tl.where(left, frame, 2147483647), 0)
        mine = left & (frame == one)
        for i in tl.static_range(3):
            for j in tl.static_range(3):
                slope = w[i] * dp[j] + dq[i] * linear[j] + dq[3 + i] * linear[3 + j] + dq[6 + i] * linear[6 + j]
                sums = tl.sum(tl.where(mine, slope, 0.0), 0)
                tl.atomic_add(d_world + one * 16 + 4 * i + j, sums, sem="relaxed")
            tl.atomic_add(d_world + one * 16 + 4 * i + 3, -tl.sum(tl.where(mine, dw[i], 0.0), 0), sem="relaxed")
        left = left & (frame != one)
