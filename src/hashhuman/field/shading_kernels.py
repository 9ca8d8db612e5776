"""`HarmonicLight` in Triton, forward and backward, one launch each."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from hashhuman.gpu.matrix_kernels import load_matrix, load_vector, store_vector, turn, turn_back

BLOCK = 256  # rows of a program
SHORTEST = tl.constexpr(1e-4)  # shorter normals are divided by this instead of their length


@triton.jit
@no_type_check
def _bend(output, row, live, stride, step):
    """The network's unbounded addition to the normal, and the divisor that bounds it."""
    u = tl.load(output + row * stride + 3 * step, mask=live, other=0.0)
    v = tl.load(output + row * stride + 4 * step, mask=live, other=0.0)
    w = tl.load(output + row * stride + 5 * step, mask=live, other=0.0)
    return u, v, w, tl.sqrt(1.0 + u * u + v * v + w * w)


@triton.jit
@no_type_check
def _canonical(u, v, w, bound, normal, row, live, n_rows, STEEPEST: tl.constexpr):
    """The bent canonical normal, before normalisation."""
    a, b, c = load_vector(normal + row, n_rows, live)
    return a + STEEPEST * u / bound, b + STEEPEST * v / bound, c + STEEPEST * w / bound


@triton.jit
@no_type_check
def _world(turned, a, b, c):
    """The world normal's three components and its length before normalisation, at least SHORTEST."""
    x, y, z = turn_back(turned, a, b, c)
    length = tl.maximum(tl.sqrt(x * x + y * y + z * z), SHORTEST)
    return x / length, y / length, z / length, length


@triton.jit
@no_type_check
def _light(coefficients, channel, x, y, z):
    """The light that reaches a surface with this normal, in one channel."""
    c = coefficients + channel
    light = tl.load(c) + tl.load(c + 3) * x + tl.load(c + 6) * y + tl.load(c + 9) * z
    light += tl.load(c + 12) * x * y + tl.load(c + 15) * y * z + tl.load(c + 18) * x * z
    return light + tl.load(c + 21) * (x * x - y * y) + tl.load(c + 24) * (3 * z * z - 1)


@triton.jit
@no_type_check
def _light_slope(coefficients, channel, x, y, z):
    """The gradient of `_light` with respect to the normal."""
    c = coefficients + channel
    c4, c5, c6, c7, c8 = tl.load(c + 12), tl.load(c + 15), tl.load(c + 18), tl.load(c + 21), tl.load(c + 24)
    along_x = tl.load(c + 3) + c4 * y + c6 * z + 2 * c7 * x
    along_y = tl.load(c + 6) + c4 * x + c5 * z - 2 * c7 * y
    return along_x, along_y, tl.load(c + 9) + c5 * y + c6 * x + 6 * c8 * z


@triton.jit
@no_type_check
def _store_sums(sums, d_light, x, y, z):
    """Writes the gradients of a channel's coefficients, summed over the program's rows."""
    tl.store(sums, tl.sum(d_light, 0))
    tl.store(sums + 3, tl.sum(d_light * x, 0))
    tl.store(sums + 6, tl.sum(d_light * y, 0))
    tl.store(sums + 9, tl.sum(d_light * z, 0))
    tl.store(sums + 12, tl.sum(d_light * x * y, 0))
    tl.store(sums + 15, tl.sum(d_light * y * z, 0))
    tl.store(sums + 18, tl.sum(d_light * x * z, 0))
    tl.store(sums + 21, tl.sum(d_light * (x * x - y * y), 0))
    tl.store(sums + 24, tl.sum(d_light * (3 * z * z - 1), 0))


@triton.jit
@no_type_check
def _across(x, y, z, length, dx, dy, dz):
    """The gradient with respect to the world normal before normalisation.

    Normalisation removes the component along the normal, unless the normal is shorter than SHORTEST.
    """
    along = tl.where(length > SHORTEST, dx * x + dy * y + dz * z, 0.0)
    return (dx - along * x) / length, (dy - along * y) / length, (dz - along * z) / length


@triton.jit(do_not_specialize=["n_rows", "stride", "step"])
@no_type_check
def _forward(
    output, normal, rotation, coefficients, color, n_rows, stride, step,
    BRIGHTEST: tl.constexpr, OFFSET: tl.constexpr, STEEPEST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = row < n_rows
    u, v, w, bound = _bend(output, row, live, stride, step)
    a, b, c = _canonical(u, v, w, bound, normal, row, live, n_rows, STEEPEST)
    x, y, z, _ = _world(load_matrix(rotation + row, 3 * n_rows, n_rows, live), a, b, c)
    for channel in tl.static_range(3):
        value = tl.load(output + row * stride + channel * step, mask=live, other=0.0)
        light = tl.maximum(_light(coefficients, channel, x, y, z), 0.0)
        tl.store(color + row * 3 + channel, light * BRIGHTEST / (1.0 + tl.exp(OFFSET - value)), mask=live)


@triton.jit(do_not_specialize=["n_rows", "stride", "step"])
@no_type_check
def _backward(
    output, normal, rotation, coefficients, gradient, d_output, d_normal, d_rotation, d_coefficients,
    n_rows, stride, step, OF_NORMAL: tl.constexpr, OF_ROTATION: tl.constexpr,
    BRIGHTEST: tl.constexpr, OFFSET: tl.constexpr, STEEPEST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(0)
    row = block * BLOCK + tl.arange(0, BLOCK)
    live = row < n_rows
    u, v, w, bound = _bend(output, row, live, stride, step)
    a, b, c = _canonical(u, v, w, bound, normal, row, live, n_rows, STEEPEST)
    turned = load_matrix(rotation + row, 3 * n_rows, n_rows, live)
    x, y, z, length = _world(turned, a, b, c)
    dx, dy, dz = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for channel in tl.static_range(3):
        value = tl.load(output + row * stride + channel * step, mask=live, other=0.0)
        albedo = BRIGHTEST / (1.0 + tl.exp(OFFSET - value))
        light = _light(coefficients, channel, x, y, z)
        d_color = tl.load(gradient + row * 3 + channel, mask=live, other=0.0)
        slope = d_color * tl.maximum(light, 0.0) * albedo * (1.0 - albedo / BRIGHTEST)
        tl.store(d_output + channel * n_rows + row, slope, mask=live)
        d_light = tl.where(light > 0.0, d_color * albedo, 0.0)
        _store_sums(d_coefficients + block * 27 + channel, d_light, x, y, z)
        along_x, along_y, along_z = _light_slope(coefficients, channel, x, y, z)
        dx += d_light * along_x
        dy += d_light * along_y
        dz += d_light * along_z
    dx, dy, dz = _across(x, y, z, length, dx, dy, dz)
    da, db, dc = turn(turned, dx, dy, dz)
    along = (da * u + db * v + dc * w) / (bound * bound)  # derivative of the bounded bend, b / sqrt(1 + b^2)
    du, dv, dw = (da - along * u) / bound, (db - along * v) / bound, (dc - along * w) / bound
    store_vector(d_output + 3 * n_rows + row, n_rows, STEEPEST * du, STEEPEST * dv, STEEPEST * dw, live)
    if OF_NORMAL:
        store_vector(d_normal + row, n_rows, da, db, dc, live)
    if OF_ROTATION:
        store_vector(d_rotation + row, n_rows, a * dx, a * dy, a * dz, live)
        store_vector(d_rotation + 3 * n_rows + row, n_rows, b * dx, b * dy, b * dz, live)
        store_vector(d_rotation + 6 * n_rows + row, n_rows, c * dx, c * dy, c * dz, live)


def _columns(x: Tensor) -> Tensor:
    """Transposes (M, n) or (M, n, m) to a contiguous (n m, M), as the kernels read it; copies only if necessary."""
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
        _, of_normal, of_rotation, *_ = ctx.needs_input_grad
        d_normal = output.new_empty(3, n_rows) if of_normal else None
        d_rotation = output.new_empty(9, n_rows) if of_rotation else None
        _backward[(blocks,)](
            output, normal, rotation, coefficients, grads[0].contiguous(), d_output,
            d_output if d_normal is None else d_normal, d_output if d_rotation is None else d_rotation, sums,
            n_rows, *output.stride(), OF_NORMAL=of_normal, OF_ROTATION=of_rotation, **ctx.constants,
        )  # fmt: skip
        d_normal = None if d_normal is None else d_normal.t()
        d_rotation = None if d_rotation is None else d_rotation.t().unflatten(1, (3, 3))
        return d_output.t(), d_normal, d_rotation, sums.sum(0), None, None, None


def shade(
    output: Tensor,
    normal: Tensor,
    rotation: Tensor,
    coefficients: Tensor,
    brightest: float,
    offset: float,
    steepest: float,
) -> Tensor:
    """Shades as `HarmonicLight` does; see there. Differentiable with respect to the four tensors.

    Args:
        output: outputs of the colour network (M, 6).
        normal: unit normals of the body (M, 3), canonical.
        rotation: canonical from world (M, 3, 3).
        coefficients: the light's spherical harmonics (9, 3).
        brightest, offset, steepest: attributes of `HarmonicLight`.

    Returns:
        Colours (M, 3).
    """
    return _Shade.apply(output, normal, rotation, coefficients, brightest, offset, steepest)  # type: ignore[return-value]
