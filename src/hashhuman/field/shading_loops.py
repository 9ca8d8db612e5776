"""`HarmonicLight` in loops for the CPU, forward and backward: one pass over the rows each."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from hashhuman.cpu.loops import array, compiled, in_parallel

SHORTEST = 1e-4  # shorter normals are divided by this instead of their length
BLOCK = 512  # rows whose gradients of the light are summed together, whatever the number of threads


@compiled
def _normal(output, normal, rotation, row, steepest):
    """The bent world normal, its length before normalisation, and the divisor that bounds the bend."""
    u, v, w = output[row, 3], output[row, 4], output[row, 5]
    bound = np.sqrt(np.float32(1) + u * u + v * v + w * w)
    a = normal[row, 0] + steepest * u / bound
    b = normal[row, 1] + steepest * v / bound
    c = normal[row, 2] + steepest * w / bound
    turned = rotation[row]
    x = turned[0, 0] * a + turned[1, 0] * b + turned[2, 0] * c
    y = turned[0, 1] * a + turned[1, 1] * b + turned[2, 1] * c
    z = turned[0, 2] * a + turned[1, 2] * b + turned[2, 2] * c
    length = max(np.sqrt(x * x + y * y + z * z), np.float32(SHORTEST))
    return x / length, y / length, z / length, length, bound


@compiled
def _light(c, channel, x, y, z):
    """The light that reaches a surface with this normal, in one channel."""
    linear = c[0, channel] + c[1, channel] * x + c[2, channel] * y + c[3, channel] * z
    mixed = c[4, channel] * x * y + c[5, channel] * y * z + c[6, channel] * x * z
    return linear + mixed + c[7, channel] * (x * x - y * y) + c[8, channel] * (np.float32(3) * z * z - np.float32(1))


@compiled
def _shade(first, last, output, normal, rotation, coefficients, brightest, offset, steepest, color):
    for row in range(first, last):
        x, y, z, _, _ = _normal(output, normal, rotation, row, steepest)
        for channel in range(3):
            albedo = brightest / (np.float32(1) + np.exp(offset - output[row, channel]))
            color[row, channel] = albedo * max(_light(coefficients, channel, x, y, z), np.float32(0))


@compiled
def _gradients(
    first, last, output, normal, rotation, coefficients, brightest, offset, steepest, upstream, of_output, of_light
):
    """Writes the gradient of the network's output, and adds each block's gradient of the light to a row of its own."""
    one, two = np.float32(1), np.float32(2)
    for block in range(first, last):
        sums = of_light[block]
        for row in range(block * BLOCK, min((block + 1) * BLOCK, len(output))):
            if upstream[row, 0] == 0 and upstream[row, 1] == 0 and upstream[row, 2] == 0:
                continue  # of several parts at a point, one alone is seen
            x, y, z, length, bound = _normal(output, normal, rotation, row, steepest)
            dx = dy = dz = np.float32(0)
            for channel in range(3):
                albedo = brightest / (one + np.exp(offset - output[row, channel]))
                light = _light(coefficients, channel, x, y, z)
                if light <= 0:
                    continue
                g = upstream[row, channel]
                of_output[row, channel] = g * light * albedo * (one - albedo / brightest)
                d = g * albedo
                sums[0, channel] += d
                sums[1, channel] += d * x
                sums[2, channel] += d * y
                sums[3, channel] += d * z
                sums[4, channel] += d * x * y
                sums[5, channel] += d * y * z
                sums[6, channel] += d * x * z
                sums[7, channel] += d * (x * x - y * y)
                sums[8, channel] += d * (np.float32(3) * z * z - one)
                c4, c5, c6 = coefficients[4, channel], coefficients[5, channel], coefficients[6, channel]
                c7, c8 = coefficients[7, channel], coefficients[8, channel]
                dx += d * (coefficients[1, channel] + c4 * y + c6 * z + two * c7 * x)
                dy += d * (coefficients[2, channel] + c4 * x + c5 * z - two * c7 * y)
                dz += d * (coefficients[3, channel] + c5 * y + c6 * x + np.float32(6) * c8 * z)
            if length > np.float32(SHORTEST):  # normalisation removes what lies along the normal
                along = dx * x + dy * y + dz * z
                dx, dy, dz = dx - along * x, dy - along * y, dz - along * z
            dx, dy, dz = dx / length, dy / length, dz / length
            turned = rotation[row]
            da = turned[0, 0] * dx + turned[0, 1] * dy + turned[0, 2] * dz
            db = turned[1, 0] * dx + turned[1, 1] * dy + turned[1, 2] * dz
            dc = turned[2, 0] * dx + turned[2, 1] * dy + turned[2, 2] * dz
            u, v, w = output[row, 3], output[row, 4], output[row, 5]
            along = (da * u + db * v + dc * w) / (bound * bound)  # the bend is bounded: b / sqrt(1 + b^2)
            of_output[row, 3] = steepest * (da - along * u) / bound
            of_output[row, 4] = steepest * (db - along * v) / bound
            of_output[row, 5] = steepest * (dc - along * w) / bound


class _Shading(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, output: Tensor, coefficients: Tensor, normal: Tensor, rotation: Tensor, *constants: float):
        numbers = [np.float32(constant) for constant in constants]
        ctx.inputs = *map(array, (output, normal, rotation, coefficients)), *numbers
        color = output.new_empty(len(output), 3)
        in_parallel(_shade, len(output), *ctx.inputs, color.numpy())
        ctx.save_for_backward(output, coefficients)  # which notices changes in between
        return color

    @staticmethod
    @once_differentiable  # a second derivative raises, instead of being taken for zero
    def backward(ctx: Any, *grads: Tensor):
        output, coefficients = ctx.saved_tensors
        of_output = torch.zeros(output.shape)
        blocks = -(-len(output) // BLOCK)
        of_light = torch.zeros(blocks, *coefficients.shape)
        in_parallel(_gradients, blocks, *ctx.inputs, array(grads[0]), of_output.numpy(), of_light.numpy(), at_least=1)
        return of_output, of_light.sum(0), *[None] * 5


def shade(
    output: Float[Tensor, "M 6"],
    normal: Float[Tensor, "M 3"],
    rotation: Float[Tensor, "M 3 3"],
    coefficients: Float[Tensor, "9 3"],
    brightest: float,
    offset: float,
    steepest: float,
) -> Float[Tensor, "M 3"]:
    """Shades as `HarmonicLight` does; see there. Differentiable with respect to `output` and `coefficients` alone.

    Args:
        output: outputs of the colour network.
        normal: unit normals of the body, canonical.
        rotation: canonical from world.
        coefficients: the light's spherical harmonics.
        brightest, offset, steepest: attributes of `HarmonicLight`.

    Returns:
        Colours.
    """
    return _Shading.apply(output, coefficients, normal, rotation, brightest, offset, steepest)  # type: ignore[return-value]
