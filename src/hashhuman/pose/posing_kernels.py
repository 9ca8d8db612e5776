"""`chains` and `maps` of `posing.py` in Triton, one launch each and one for the gradients of each."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from hashhuman.gpu.matrix_kernels import load_matrix, load_vector, turn, turn_back
from hashhuman.pose.posing import POINTS, Fitted

JOINTS = 128  # pairs of frame and joint of a program
WARPS = 1  # of a program of POINTS body points: sums over them then need no shared memory and no barrier


@triton.jit
@no_type_check
def _product(a, b):
    """The product of two 3 x 3 matrices."""
    c0 = turn(a, b[0], b[3], b[6])
    c1 = turn(a, b[1], b[4], b[7])
    c2 = turn(a, b[2], b[5], b[8])
    return c0[0], c1[0], c2[0], c0[1], c1[1], c2[1], c0[2], c1[2], c2[2]


@triton.jit
@no_type_check
def _transposed(a):
    return a[0], a[3], a[6], a[1], a[4], a[7], a[2], a[5], a[8]


@triton.jit
@no_type_check
def _rodrigues(q):
    """sin(a) / a and (1 - cos a) / a^2, and their derivatives by q = a^2."""
    small = q < 1e-2
    safe = tl.where(small, 1.0, q)
    a = tl.sqrt(safe)
    sine = tl.where(small, 1 - q / 6 + q * q / 120, tl.sin(a) / a)
    cosine = tl.where(small, 0.5 - q / 24 + q * q / 720, (1 - tl.cos(a)) / safe)
    d_sine = tl.where(small, -1.0 / 6 + q / 60 - q * q / 1680, (tl.cos(a) - sine) / (2 * safe))
    d_cosine = tl.where(small, -1.0 / 24 + q / 360 - q * q / 13440, (sine - 2 * cosine) / (2 * safe))
    return sine, cosine, d_sine, d_cosine


@triton.jit
@no_type_check
def _rotation(x, y, z):
    """The matrix of an axis-angle vector: I + s K + c (d d^T - |d|^2 I)."""
    q = x * x + y * y + z * z
    s, c, _, _ = _rodrigues(q)
    return (
        1 + c * (x * x - q), c * x * y - s * z, c * x * z + s * y,
        c * x * y + s * z, 1 + c * (y * y - q), c * y * z - s * x,
        c * x * z - s * y, c * y * z + s * x, 1 + c * (z * z - q),
    )  # fmt: skip


@triton.jit
@no_type_check
def _turned(rotation, fitted, row, live):
    """A joint's rotation relative to its parent: the fitted one, then the correction."""
    x, y, z = load_vector(rotation + row * 3, 1, live)
    return _product(load_matrix(fitted + row * 9, 3, 1, live), _rotation(x, y, z))


@triton.jit(do_not_specialize=["n", "n_joints", "depth"])
@no_type_check
def _chains(
    rotation, transl, fitted, fitted_transl, joints, parents, chain_out, world_out, n, n_joints, depth,
    BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = row < n
    frame, joint = row // n_joints, row % n_joints
    is_root = live & (joint == 0)
    one, zero = tl.full([BLOCK], 1.0, tl.float32), tl.full([BLOCK], 0.0, tl.float32)
    m0, m1, m2, m3, m4, m5, m6, m7, m8 = one, zero, zero, zero, one, zero, zero, zero, one
    px, py, pz = zero, zero, zero
    here = joint
    for _ in range(1, depth):  # upwards; the root itself does not turn in posed space
        up = live & (here > 0)
        parent = tl.load(parents + here, mask=up, other=0)
        local = _turned(rotation, fitted, frame * n_joints + here, up)
        tx, ty, tz = load_vector(joints + here * 3, 1, up)
        rx, ry, rz = load_vector(joints + parent * 3, 1, up)
        n0, n1, n2, n3, n4, n5, n6, n7, n8 = _product(local, (m0, m1, m2, m3, m4, m5, m6, m7, m8))
        ax, ay, az = turn(local, px, py, pz)
        m0, m1, m2 = tl.where(up, n0, m0), tl.where(up, n1, m1), tl.where(up, n2, m2)
        m3, m4, m5 = tl.where(up, n3, m3), tl.where(up, n4, m4), tl.where(up, n5, m5)
        m6, m7, m8 = tl.where(up, n6, m6), tl.where(up, n7, m7), tl.where(up, n8, m8)
        px, py, pz = tl.where(up, ax + tx - rx, px), tl.where(up, ay + ty - ry, py), tl.where(up, az + tz - rz, pz)
        here = tl.where(up, parent, here)
    jx, jy, jz = load_vector(joints + here * 0, 1, live)
    out = chain_out + row * 12
    tl.store(out, m0, mask=live)
    tl.store(out + 1, m1, mask=live)
    tl.store(out + 2, m2, mask=live)
    tl.store(out + 3, px + jx, mask=live)
    tl.store(out + 4, m3, mask=live)
    tl.store(out + 5, m4, mask=live)
    tl.store(out + 6, m5, mask=live)
    tl.store(out + 7, py + jy, mask=live)
    tl.store(out + 8, m6, mask=live)
    tl.store(out + 9, m7, mask=live)
    tl.store(out + 10, m8, mask=live)
    tl.store(out + 11, pz + jz, mask=live)
    before = load_matrix(fitted + row * 9, 3, 1, is_root)
    after = _turned(rotation, fitted, row, is_root)
    bx, by, bz = turn(before, jx, jy, jz)
    cx, cy, cz = turn(after, jx, jy, jz)
    fx, fy, fz = load_vector(fitted_transl + frame * 3, 1, is_root)
    dx, dy, dz = load_vector(transl + frame * 3, 1, is_root)
    out = world_out + frame * 16
    tl.store(out, after[0], mask=is_root)
    tl.store(out + 1, after[1], mask=is_root)
    tl.store(out + 2, after[2], mask=is_root)
    tl.store(out + 3, fx + dx + (bx - cx), mask=is_root)
    tl.store(out + 4, after[3], mask=is_root)
    tl.store(out + 5, after[4], mask=is_root)
    tl.store(out + 6, after[5], mask=is_root)
    tl.store(out + 7, fy + dy + (by - cy), mask=is_root)
    tl.store(out + 8, after[6], mask=is_root)
    tl.store(out + 9, after[7], mask=is_root)
    tl.store(out + 10, after[8], mask=is_root)
    tl.store(out + 11, fz + dz + (bz - cz), mask=is_root)
    tl.store(out + 12, zero, mask=is_root)
    tl.store(out + 13, zero, mask=is_root)
    tl.store(out + 14, zero, mask=is_root)
    tl.store(out + 15, one, mask=is_root)


@triton.jit(do_not_specialize=["n", "n_joints"])
@no_type_check
def _chains_backward(
    rotation, fitted, joints, parents, below, chain, d_chain, d_world, d_rotation, d_transl, n, n_joints,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """With G_k = [A_k, p_k] of every joint k that hangs on joint j, and P the parent of j:

    dR_j = A_P^T (sum over k of dA_k A_k^T + dp_k (p_k - p_j)^T) A_j.
    """
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = row < n
    frame, joint = row // n_joints, row % n_joints
    is_root = live & (joint == 0)
    limb = live & (joint > 0)
    jx, jy, jz = load_vector(chain + row * 12 + 3, 4, live)
    zero = tl.full([BLOCK], 0.0, tl.float32)
    s0, s1, s2, s3, s4, s5, s6, s7, s8 = zero, zero, zero, zero, zero, zero, zero, zero, zero
    for k in range(1, n_joints):
        hangs = limb & (tl.load(below + joint * n_joints + k, mask=limb, other=0) != 0)
        at = (frame * n_joints + k) * 12
        a = load_matrix(chain + at, 4, 1, hangs)
        da = load_matrix(d_chain + at, 4, 1, hangs)
        px, py, pz = load_vector(chain + at + 3, 4, hangs)
        dx, dy, dz = load_vector(d_chain + at + 3, 4, hangs)
        px, py, pz = px - jx, py - jy, pz - jz
        b = _product(da, _transposed(a))
        s0, s1, s2 = s0 + b[0] + dx * px, s1 + b[1] + dx * py, s2 + b[2] + dx * pz
        s3, s4, s5 = s3 + b[3] + dy * px, s4 + b[4] + dy * py, s5 + b[5] + dy * pz
        s6, s7, s8 = s6 + b[6] + dz * px, s7 + b[7] + dz * py, s8 + b[8] + dz * pz
    parent = tl.load(parents + joint, mask=limb, other=0)
    above = load_matrix(chain + (frame * n_joints + parent) * 12, 4, 1, limb)
    mine = load_matrix(chain + row * 12, 4, 1, limb)
    g = _product(_product(_transposed(above), (s0, s1, s2, s3, s4, s5, s6, s7, s8)), mine)
    # The root: world = [R, t + (R_fit - R) j].
    w = load_matrix(d_world + frame * 16, 4, 1, is_root)
    tx, ty, tz = load_vector(d_world + frame * 16 + 3, 4, is_root)
    ox, oy, oz = load_vector(joints + joint * 0, 1, is_root)
    before = load_matrix(fitted + row * 9, 3, 1, live)
    g0 = tl.where(is_root, w[0] - tx * ox, g[0])
    g1 = tl.where(is_root, w[1] - tx * oy, g[1])
    g2 = tl.where(is_root, w[2] - tx * oz, g[2])
    g3 = tl.where(is_root, w[3] - ty * ox, g[3])
    g4 = tl.where(is_root, w[4] - ty * oy, g[4])
    g5 = tl.where(is_root, w[5] - ty * oz, g[5])
    g6 = tl.where(is_root, w[6] - tz * ox, g[6])
    g7 = tl.where(is_root, w[7] - tz * oy, g[7])
    g8 = tl.where(is_root, w[8] - tz * oz, g[8])
    e = _product(_transposed(before), (g0, g1, g2, g3, g4, g5, g6, g7, g8))
    x, y, z = load_vector(rotation + row * 3, 1, live)
    q = x * x + y * y + z * z
    sine, cosine, d_sine, d_cosine = _rodrigues(q)
    vx, vy, vz = e[7] - e[5], e[2] - e[6], e[3] - e[1]
    trace = e[0] + e[4] + e[8]
    ux, uy, uz = turn(e, x, y, z)
    tx2, ty2, tz2 = turn_back(e, x, y, z)
    along = 2 * (d_sine * (x * vx + y * vy + z * vz) + d_cosine * (x * ux + y * uy + z * uz - q * trace))
    tl.store(d_rotation + row * 3, sine * vx + cosine * (ux + tx2 - 2 * trace * x) + along * x, mask=live)
    tl.store(d_rotation + row * 3 + 1, sine * vy + cosine * (uy + ty2 - 2 * trace * y) + along * y, mask=live)
    tl.store(d_rotation + row * 3 + 2, sine * vz + cosine * (uz + tz2 - 2 * trace * z) + along * z, mask=live)
    tl.store(d_transl + frame * 3, tx, mask=is_root)
    tl.store(d_transl + frame * 3 + 1, ty, mask=is_root)
    tl.store(d_transl + frame * 3 + 2, tz, mask=is_root)


@triton.jit
@no_type_check
def _blended(chain, joints, weights, moving, count, point, live, n_points):
    """Each point's blended bone transform: its linear part, then its translation. `moving` has `count` joints."""
    zero = tl.zeros_like(point).to(tl.float32)
    m0, m1, m2, m3, m4, m5, m6, m7, m8 = zero, zero, zero, zero, zero, zero, zero, zero, zero
    tx, ty, tz = zero, zero, zero
    for i in range(count):
        joint = tl.load(moving + i)
        w = tl.load(weights + joint * n_points + point, mask=live, other=0.0)
        a = chain + joint * 12
        x, y, z = tl.load(joints + joint * 3), tl.load(joints + joint * 3 + 1), tl.load(joints + joint * 3 + 2)
        a0, a1, a2, a3 = tl.load(a), tl.load(a + 1), tl.load(a + 2), tl.load(a + 3)
        b0, b1, b2, b3 = tl.load(a + 4), tl.load(a + 5), tl.load(a + 6), tl.load(a + 7)
        c0, c1, c2, c3 = tl.load(a + 8), tl.load(a + 9), tl.load(a + 10), tl.load(a + 11)
        m0, m1, m2, tx = m0 + w * a0, m1 + w * a1, m2 + w * a2, tx + w * (a3 - a0 * x - a1 * y - a2 * z)
        m3, m4, m5, ty = m3 + w * b0, m4 + w * b1, m5 + w * b2, ty + w * (b3 - b0 * x - b1 * y - b2 * z)
        m6, m7, m8, tz = m6 + w * c0, m7 + w * c1, m8 + w * c2, tz + w * (c3 - c0 * x - c1 * y - c2 * z)
    # Points beyond the last one have no bones; the identity keeps their inverse finite.
    m0, m4, m8 = tl.where(live, m0, 1.0), tl.where(live, m4, 1.0), tl.where(live, m8, 1.0)
    return m0, m1, m2, m3, m4, m5, m6, m7, m8, tx, ty, tz


@triton.jit
@no_type_check
def _inverse(m):
    """The inverse of a 3 x 3 matrix, by the adjugate."""
    a, b, c = m[4] * m[8] - m[5] * m[7], m[2] * m[7] - m[1] * m[8], m[1] * m[5] - m[2] * m[4]
    scale = 1.0 / (m[0] * a + m[3] * b + m[6] * c)
    return (
        a * scale, b * scale, c * scale,
        (m[5] * m[6] - m[3] * m[8]) * scale, (m[0] * m[8] - m[2] * m[6]) * scale, (m[2] * m[3] - m[0] * m[5]) * scale,
        (m[3] * m[7] - m[4] * m[6]) * scale, (m[1] * m[6] - m[0] * m[7]) * scale, (m[0] * m[4] - m[1] * m[3]) * scale,
    )  # fmt: skip


@triton.jit(do_not_specialize=["n_joints", "n_points", "most_moving"])
@no_type_check
def _maps(
    chain, joints, weights, moving, n_moving, canonical, out, n_joints, n_points, most_moving, BLOCK: tl.constexpr
):
    point = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    frame = tl.program_id(1).to(tl.int64)
    live = point < n_points
    moving, count = moving + tl.program_id(0) * most_moving, tl.load(n_moving + tl.program_id(0))
    m = _blended(chain + frame * n_joints * 12, joints, weights, moving, count, point, live, n_points)
    inverse = _inverse(m)
    linear = _product(load_matrix(canonical + point, 4 * n_points, n_points, live), inverse)
    x, y, z = load_vector(canonical + 3 * n_points + point, 4 * n_points, live)
    ax, ay, az = turn(linear, m[9], m[10], m[11])
    row = (
        linear[0], linear[1], linear[2], x - ax, linear[3], linear[4], linear[5], y - ay,
        linear[6], linear[7], linear[8], z - az,
    )  # fmt: skip
    _store_rows(out + (frame * n_points + point) * 12, row, live)


@triton.jit
@no_type_check
def _store_rows(target, row, live):
    """Stores twelve numbers for each row, one after the other, so that neighbouring threads write neighbours."""
    zero = tl.zeros_like(row[0])
    eights = (
        tl.join(row[0], row[8]), tl.join(row[1], row[9]), tl.join(row[2], row[10]), tl.join(row[3], row[11]),
        tl.join(row[4], zero), tl.join(row[5], zero), tl.join(row[6], zero), tl.join(row[7], zero),
    )  # fmt: skip
    low, high = tl.join(eights[0], eights[4]), tl.join(eights[1], eights[5])
    even = tl.join(low, tl.join(eights[2], eights[6]))
    odd = tl.join(high, tl.join(eights[3], eights[7]))
    numbers = tl.reshape(tl.join(even, odd), [row[0].shape[0], 16])
    column = tl.arange(0, 16)[None, :]
    tl.store(target[:, None] + column, numbers, mask=live[:, None] & (column < 12))


@triton.jit
@no_type_check
def _load_four(source, live):
    """Loads four numbers for each row, which lie side by side."""
    four = tl.load(source[:, None] + tl.arange(0, 4)[None, :], mask=live[:, None], other=0.0)
    even, odd = tl.split(tl.reshape(four, [four.shape[0], 2, 2]))
    a, c = tl.split(even)
    b, d = tl.split(odd)
    return a, b, c, d


@triton.jit(do_not_specialize=["n_joints", "n_points", "most_moving"])
@no_type_check
def _maps_backward(
    chain, joints, weights, moving, n_moving, canonical, d_maps, d_chain, n_joints, n_points, most_moving,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """With M = C S^-1: dS = -M^T dM S^-T, as 4 x 4 matrices. Each bone's gradient is the weighted sum of dS."""
    point = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    frame = tl.program_id(1).to(tl.int64)
    live = point < n_points
    row = d_maps + (frame * n_points + point) * 12
    d0, d1, d2, ux = _load_four(row, live)
    d3, d4, d5, uy = _load_four(row + 4, live)
    d6, d7, d8, uz = _load_four(row + 8, live)
    d = d0, d1, d2, d3, d4, d5, d6, d7, d8
    touched = (ux != 0) | (uy != 0) | (uz != 0)
    for i in tl.static_range(9):
        touched |= d[i] != 0
    if tl.max(touched.to(tl.int32), 0) > 0:  # otherwise no sample of the step is near these points
        moving, count = moving + tl.program_id(0) * most_moving, tl.load(n_moving + tl.program_id(0))
        m = _blended(chain + frame * n_joints * 12, joints, weights, moving, count, point, live, n_points)
        inverse = _inverse(m)
        qx, qy, qz = turn(inverse, -m[9], -m[10], -m[11])  # the inverse's translation
        linear = _product(load_matrix(canonical + point, 4 * n_points, n_points, live), inverse)
        a = _product(_transposed(linear), d)
        tx, ty, tz = turn_back(linear, ux, uy, uz)
        b = _product(a, _transposed(inverse))
        s0, s1, s2 = -(b[0] + tx * qx), -(b[1] + tx * qy), -(b[2] + tx * qz)
        s3, s4, s5 = -(b[3] + ty * qx), -(b[4] + ty * qy), -(b[5] + ty * qz)
        s6, s7, s8 = -(b[6] + tz * qx), -(b[7] + tz * qy), -(b[8] + tz * qz)
        tx, ty, tz = -tx, -ty, -tz
        for nth in range(count):
            joint = tl.load(moving + nth)
            w = tl.load(weights + joint * n_points + point, mask=live, other=0.0)
            x, y, z = tl.load(joints + joint * 3), tl.load(joints + joint * 3 + 1), tl.load(joints + joint * 3 + 2)
            vx, vy, vz = tl.sum(w * tx, 0), tl.sum(w * ty, 0), tl.sum(w * tz, 0)
            out = d_chain + (frame * n_joints + joint) * 12
            tl.atomic_add(out, tl.sum(w * s0, 0) - vx * x, sem="relaxed")
            tl.atomic_add(out + 1, tl.sum(w * s1, 0) - vx * y, sem="relaxed")
            tl.atomic_add(out + 2, tl.sum(w * s2, 0) - vx * z, sem="relaxed")
            tl.atomic_add(out + 3, vx, sem="relaxed")
            tl.atomic_add(out + 4, tl.sum(w * s3, 0) - vy * x, sem="relaxed")
            tl.atomic_add(out + 5, tl.sum(w * s4, 0) - vy * y, sem="relaxed")
            tl.atomic_add(out + 6, tl.sum(w * s5, 0) - vy * z, sem="relaxed")
            tl.atomic_add(out + 7, vy, sem="relaxed")
            tl.atomic_add(out + 8, tl.sum(w * s6, 0) - vz * x, sem="relaxed")
            tl.atomic_add(out + 9, tl.sum(w * s7, 0) - vz * y, sem="relaxed")
            tl.atomic_add(out + 10, tl.sum(w * s8, 0) - vz * z, sem="relaxed")
            tl.atomic_add(out + 11, vz, sem="relaxed")


def _options() -> dict[str, int]:
    """How the kernels of body points are compiled."""
    return {"BLOCK": POINTS, "num_warps": WARPS}


class _Chains(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rotation: Tensor, transl: Tensor, fitted: Fitted):
        n_frames, n_joints, _ = rotation.shape
        rotation, transl = rotation.contiguous(), transl.contiguous()
        chain = rotation.new_empty(n_frames, n_joints, 3, 4)
        world = rotation.new_empty(n_frames, 4, 4)
        n = n_frames * n_joints
        _chains[(triton.cdiv(n, JOINTS),)](
            rotation, transl, fitted.rotation, fitted.transl, fitted.joints, fitted.parents, chain, world,
            n, n_joints, fitted.depth, BLOCK=JOINTS,
        )  # fmt: skip
        ctx.save_for_backward(rotation, chain)
        ctx.fitted = fitted
        return chain, world

    @staticmethod
    def backward(ctx, *upstream: Tensor):
        (rotation, chain), fitted = ctx.saved_tensors, ctx.fitted
        d_chain, d_world = (gradient.contiguous() for gradient in upstream)
        d_rotation, d_transl = torch.empty_like(rotation), rotation.new_empty(len(rotation), 3)
        n_joints = rotation.shape[1]
        n = len(rotation) * n_joints
        _chains_backward[(triton.cdiv(n, JOINTS),)](
            rotation, fitted.rotation, fitted.joints, fitted.parents, fitted.below, chain, d_chain, d_world,
            d_rotation, d_transl, n, n_joints, BLOCK=JOINTS,
        )  # fmt: skip
        return d_rotation, d_transl, None


class _Maps(torch.autograd.Function):
    @staticmethod
    def forward(ctx, chain: Tensor, fitted: Fitted):
        chain = chain.contiguous()
        n_frames, (n_joints, n_points), (moving, n_moving) = len(chain), fitted.weights.shape, fitted.moving
        maps = chain.new_empty(n_frames, n_points, 3, 4)
        _maps[(triton.cdiv(n_points, POINTS), n_frames)](
            chain, fitted.joints, fitted.weights, moving, n_moving, fitted.canonical_from_rest, maps,
            n_joints, n_points, moving.shape[1], **_options(),
        )  # fmt: skip
        ctx.save_for_backward(chain)
        ctx.fitted = fitted
        return maps

    @staticmethod
    def backward(ctx, *upstream: Tensor):
        (chain,), fitted = ctx.saved_tensors, ctx.fitted
        d_chain = torch.zeros_like(chain)
        n_frames, (n_joints, n_points), (moving, n_moving) = len(chain), fitted.weights.shape, fitted.moving
        _maps_backward[(triton.cdiv(n_points, POINTS), n_frames)](
            chain, fitted.joints, fitted.weights, moving, n_moving, fitted.canonical_from_rest,
            upstream[0].contiguous(), d_chain, n_joints, n_points, moving.shape[1], **_options(),
        )  # fmt: skip
        return d_chain, None


def chains(
    rotation: Float[Tensor, "F J 3"], transl: Float[Tensor, "F 3"], fitted: Fitted
) -> tuple[Float[Tensor, "F J 3 4"], Float[Tensor, "F 4 4"]]:
    """`posing.chains`, with the same gradients."""
    return _Chains.apply(rotation, transl, fitted)  # type: ignore[return-value]


def maps(chain: Float[Tensor, "F J 3 4"], fitted: Fitted) -> Float[Tensor, "F V 3 4"]:
    """`posing.maps`, with the same gradients up to the order of summation."""
    return _Maps.apply(chain, fitted)  # type: ignore[return-value]
