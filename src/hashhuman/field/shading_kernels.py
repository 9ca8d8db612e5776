"""`HarmonicLight` on a GPU: from the colour network's output to shaded colours in one launch, forward and backward."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256  # rows of a program


@triton.jit
@no_type_check
def _bend(output, row, live, stride, step):
    """What the network adds to the normal before it is bounded, and by what it is divided for that."""
    u = tl.load(output + row * stride + 3 * step, mask=live, other=0.0)
    v = tl.load(output + row * stride + 4 * step, mask=live, other=0.0)
    w = tl.load(output + row * stride + 5 * step, mask=live, other=0.0)
    return u, v, w, tl.sqrt(1.0 + u * u + v * v + w * w)


@triton.jit
@no_type_check
def _normal(u, v, w, bound, normal, rotation, row, live, n_rows, STEEPEST: tl.constexpr):
    """The world normal's three components and its length before normalisation."""
    a = tl.load(normal + row, mask=live, other=0.0) + STEEPEST * u / bound
    b = tl.load(normal + n_rows + row, mask=live, other=0.0) + STEEPEST * v / bound
    c = tl.load(normal + 2 * n_rows + row, mask=live, other=1.0) + STEEPEST * w / bound
    x = tl.load(rotation + row, mask=live, other=0.0) * a
    x += tl.load(rotation + 3 * n_rows + row, mask=live, other=0.0) * b
    x += tl.load(rotation + 6 * n_rows + row, mask=live, other=0.0) * c
    y = tl.load(rotation + n_rows + row, mask=live, other=0.0) * a
    y += tl.load(rotation + 4 * n_rows + row, mask=live, other=0.0) * b
    y += tl.load(rotation + 7 * n_rows + row, mask=live, other=0.0) * c
    z = tl.load(rotation + 2 * n_rows + row, mask=live, other=0.0) * a
    z += tl.load(rotation + 5 * n_rows + row, mask=live, other=0.0) * b
    z += tl.load(rotation + 8 * n_rows + row, mask=live, other=0.0) * c
    length = tl.maximum(tl.sqrt(x * x + y * y + z * z), 1e-4)
    return x / length, y / length, z / length, length


@triton.jit
@no_type_check
def _light(coefficients, channel, x, y, z):
    """What reaches a surface with this normal, in one channel."""
    c = coefficients + channel
    light = tl.load(c) + tl.load(c + 3) * x + tl.load(c + 6) * y + tl.load(c + 9) * z
    light += tl.load(c + 12) * x * y + tl.load(c + 15) * y * z + tl.load(c + 18) * x * z
    return light + tl.load(c + 21) * (x * x - y * y) + tl.load(c + 24) * (3 * z * z - 1)


@triton.jit(do_not_specialize=["n_rows", "stride", "step"])
@no_type_check
def _forward(
    output,
    normal,
    rotation,
    coefficients,
    color,
    n_rows,
    stride,
    step,
    BRIGHTEST: tl.constexpr,
    OFFSET: tl.constexpr,
    STEEPEST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = row < n_rows
    u, v, w, bound = _bend(output, row, live, stride, step)
    x, y, z, _ = _normal(u, v, w, bound, normal, rotation, row, live, n_rows, STEEPEST)
    for channel in tl.static_range(3):
        value = tl.load(output + row * stride + channel * step, mask=live, other=0.0)
        light = tl.maximum(_light(coefficients, channel, x, y, z), 0.0)
        tl.store(color + row * 3 + channel, light * BRIGHTEST / (1.0 + tl.exp(OFFSET - value)), mask=live)


@triton.jit(do_not_specialize=["n_rows", "stride", "step"])
@no_type_check
def _backward(
    output,
    normal,
    rotation,
    coefficients,
    gradient,
    d_output,
    d_coefficients,
    n_rows,
    stride,
    step,
    BRIGHTEST: tl.constexpr,
    OFFSET: tl.constexpr,
    STEEPEST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    block = tl.program_id(0)
    row = block * BLOCK + tl.arange(0, BLOCK)
    live = row < n_rows
    u, v, w, bound = _bend(output, row, live, stride, step)
    x, y, z, length = _normal(u, v, w, bound, normal, rotation, row, live, n_rows, STEEPEST)
    dx, dy, dz = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for channel in tl.static_range(3):
        value = tl.load(output + row * stride + channel * step, mask=live, other=0.0)
        albedo = BRIGHTEST / (1.0 + tl.exp(OFFSET - value))
        light = _light(coefficients, channel, x, y, z)
        d_color = tl.load(gradient + row * 3 + channel, mask=live, other=0.0)
        slope = d_color * tl.maximum(light, 0.0) * albedo * (1.0 - albedo / BRIGHTEST)
        tl.store(d_output + channel * n_rows + row, slope, mask=live)
        d_light = tl.where(light > 0.0, d_color * albedo, 0.0)
        sums = d_coefficients + block * 27 + channel
        tl.store(sums, tl.sum(d_light, 0))
        tl.store(sums + 3, tl.sum(d_light * x, 0))
        tl.store(sums + 6, tl.sum(d_light * y, 0))
        tl.store(sums + 9, tl.sum(d_light * z, 0))
        tl.store(sums + 12, tl.sum(d_light * x * y, 0))
        tl.store(sums + 15, tl.sum(d_light * y * z, 0))
        tl.store(sums + 18, tl.sum(d_light * x * z, 0))
        tl.store(sums + 21, tl.sum(d_light * (x * x - y * y), 0))
        tl.store(sums + 24, tl.sum(d_light * (3 * z * z - 1), 0))
        c = coefficients + channel
        c4, c5, c6, c7, c8 = tl.load(c + 12), tl.load(c + 15), tl.load(c + 18), tl.load(c + 21), tl.load(c + 24)
        dx += d_light * (tl.load(c + 3) + c4 * y + c6 * z + 2 * c7 * x)
        dy += d_light * (tl.load(c + 6) + c4 * x + c5 * z - 2 * c7 * y)
        dz += d_light * (tl.load(c + 9) + c5 * y + c6 * x + 6 * c8 * z)
    along = dx * x + dy * y + dz * z  # normalisation passes on only what is across the normal
    dx, dy, dz = (dx - along * x) / length, (dy - along * y) / length, (dz - along * z) / length
    r = rotation + row
    du = tl.load(r, mask=live, other=0.0) * dx
    du += tl.load(r + n_rows, mask=live, other=0.0) * dy
    du += tl.load(r + 2 * n_rows, mask=live, other=0.0) * dz
    dv = tl.load(r + 3 * n_rows, mask=live, other=0.0) * dx
    dv += tl.load(r + 4 * n_rows, mask=live, other=0.0) * dy
    dv += tl.load(r + 5 * n_rows, mask=live, other=0.0) * dz
    dw = tl.load(r + 6 * n_rows, mask=live, other=0.0) * dx
    dw += tl.load(r + 7 * n_rows, mask=live, other=0.0) * dy
    dw += tl.load(r + 8 * n_rows, mask=live, other=0.0) * dz
    along = (du * u + dv * v + dw * w) / (bound * bound)  # of b / sqrt(1 + b^2), the bounded bend
    tl.store(d_output + 3 * n_rows + row, STEEPEST * (du - along * u) / bound, mask=live)
    tl.store(d_output + 4 * n_rows + row, STEEPEST * (dv - along * v) / bound, mask=live)
    tl.store(d_output + 5 * n_rows + row, STEEPEST * (dw - along * w) / bound, mask=live)


def _columns(x: Tensor) -> Tensor:
    """(M, n) or (M, n, m) as rows of (n m, M) in memory, as the kernels read it; no copy where it lies so already."""
    return x.flatten(1).t().contiguous()


class _Shade(torch.autograd.Function):
    @staticmethod
    def forward(ctx, output, normal, rotation, coefficients, brightest: float, offset: float, steepest: float):
        n_rows = len(output)
        normal, rotation = _columns(normal), _columns(rotation)
        ctx.constants = {"BRIGHTEST": brightest, "OFFSET": offset, "STEEPEST": steepest, "BLOCK": BLOCK}
        color = output.new_empty(n_rows, 3)
        _forward[(triton.cdiv(n_rows, BLOCK),)](
            output, normal, rotation, coefficients, color, n_rows, *output.stride(), **ctx.constants
        )
        ctx.save_for_backward(output, normal, rotation, coefficients)
        return color

    @staticmethod
    def backward(ctx, *grads: Tensor):
        output, normal, rotation, coefficients = ctx.saved_tensors
        n_rows = len(output)
        blocks = triton.cdiv(n_rows, BLOCK)
        d_output, sums = output.new_empty(6, n_rows), output.new_empty(blocks, 9, 3)
        _backward[(blocks,)](
            output, normal, rotation, coefficients, grads[0].contiguous(), d_output, sums, n_rows, *output.stride(),
            **ctx.constants,
        )  # fmt: skip
        return d_output.t(), None, None, sums.sum(0), None, None, None


def shade(
    output: Tensor,
    normal: Tensor,
    rotation: Tensor,
    coefficients: Tensor,
    brightest: float,
    offset: float,
    steepest: float,
) -> Tensor:
    """What `HarmonicLight` computes; see there."""
    return _Shade.apply(output, normal, rotation, coefficients, brightest, offset, steepest)  # type: ignore[return-value]
