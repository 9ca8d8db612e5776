"""`renderer.volume.composite` in Triton, forward and backward, one launch each."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 64  # rays of a program


@triton.jit(do_not_specialize=["n_rays"])
@no_type_check
def _forward(color, density, t, delta, start, color_out, alpha_out, depth_out, weight_out, n_rays, BLOCK: tl.constexpr):
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = ray < n_rays
    first = tl.load(start + ray, mask=live, other=0)
    count = tl.load(start + ray + 1, mask=live, other=0) - first
    optical = tl.zeros([BLOCK], tl.float32)
    red, green, blue = optical, optical, optical
    alpha, depth = optical, optical
    longest, k = tl.max(count, 0), 0
    while k < longest:  # not `for`: Triton's interpreter does not accept a tensor as the end of a range
        here = k < count
        i = first + k
        thickness = tl.load(density + i, mask=here, other=0.0) * tl.load(delta + i, mask=here, other=0.0)
        after = optical + thickness
        weight = tl.exp(-optical) - tl.exp(-after)
        # For thin samples this difference loses digits. There, 1 - e^-x = x - x^2 / 2.
        thin = tl.exp(-optical) * thickness * (1.0 - 0.5 * thickness)
        weight = tl.where(thickness < 1e-3, thin, weight)
        tl.store(weight_out + i, weight, mask=here)
        red += weight * tl.load(color + i * 3, mask=here, other=0.0)
        green += weight * tl.load(color + i * 3 + 1, mask=here, other=0.0)
        blue += weight * tl.load(color + i * 3 + 2, mask=here, other=0.0)
        alpha += weight
        depth += weight * tl.load(t + i, mask=here, other=0.0)
        optical = after
        k += 1
    tl.store(color_out + ray * 3, red, mask=live)
    tl.store(color_out + ray * 3 + 1, green, mask=live)
    tl.store(color_out + ray * 3 + 2, blue, mask=live)
    tl.store(alpha_out + ray, alpha, mask=live)
    tl.store(depth_out + ray, depth, mask=live)


@triton.jit(do_not_specialize=["n_rays"])
@no_type_check
def _backward(
    color, density, t, delta, start, weights, d_color, d_alpha, d_depth, d_weight, color_grad, density_grad,
    n_rays, BLOCK: tl.constexpr,
):  # fmt: skip
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = ray < n_rays
    first = tl.load(start + ray, mask=live, other=0)
    count = tl.load(start + ray + 1, mask=live, other=0) - first
    longest = tl.max(count, 0)
    red = tl.load(d_color + ray * 3, mask=live, other=0.0)
    green = tl.load(d_color + ray * 3 + 1, mask=live, other=0.0)
    blue = tl.load(d_color + ray * 3 + 2, mask=live, other=0.0)
    alpha = tl.load(d_alpha + ray, mask=live, other=0.0)
    depth = tl.load(d_depth + ray, mask=live, other=0.0)
    behind = tl.zeros([BLOCK], tl.float32)  # sum of weight times its gradient over the samples from here on
    k = 0
    while k < longest:
        here = k < count
        i = first + k
        gain = alpha + depth * tl.load(t + i, mask=here, other=0.0) + tl.load(d_weight + i, mask=here, other=0.0)
        gain += red * tl.load(color + i * 3, mask=here, other=0.0)
        gain += green * tl.load(color + i * 3 + 1, mask=here, other=0.0)
        gain += blue * tl.load(color + i * 3 + 2, mask=here, other=0.0)
        behind += gain * tl.load(weights + i, mask=here, other=0.0)
        k += 1
    optical = tl.zeros([BLOCK], tl.float32)
    k = 0
    while k < longest:
        here = k < count
        i = first + k
        length = tl.load(delta + i, mask=here, other=0.0)
        weight = tl.load(weights + i, mask=here, other=0.0)
        gain = alpha + depth * tl.load(t + i, mask=here, other=0.0) + tl.load(d_weight + i, mask=here, other=0.0)
        gain += red * tl.load(color + i * 3, mask=here, other=0.0)
        gain += green * tl.load(color + i * 3 + 1, mask=here, other=0.0)
        gain += blue * tl.load(color + i * 3 + 2, mask=here, other=0.0)
        behind -= gain * weight
        optical += tl.load(density + i, mask=here, other=0.0) * length
        tl.store(density_grad + i, (tl.exp(-optical) * gain - behind) * length, mask=here)
        tl.store(color_grad + i * 3, weight * red, mask=here)
        tl.store(color_grad + i * 3 + 1, weight * green, mask=here)
        tl.store(color_grad + i * 3 + 2, weight * blue, mask=here)
        k += 1


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, color: Tensor, density: Tensor, t: Tensor, delta: Tensor, start: Tensor):
        n_rays = len(start) - 1
        color, density = color.contiguous(), density.contiguous()
        seen, alpha, depth = color.new_empty(n_rays, 3), color.new_empty(n_rays), color.new_empty(n_rays)
        weights = torch.zeros_like(density)
        _forward[(triton.cdiv(n_rays, BLOCK),)](
            color, density, t, delta, start, seen, alpha, depth, weights, n_rays, BLOCK=BLOCK
        )
        ctx.save_for_backward(color, density, t, delta, start, weights)
        return seen, alpha, depth, weights

    @staticmethod
    def backward(ctx, *grads: Tensor):
        color, density, t, delta, start, weights = ctx.saved_tensors
        n_rays = len(start) - 1
        color_grad, density_grad = torch.zeros_like(color), torch.zeros_like(density)
        saved = color, density, t, delta, start, weights
        arguments = [*saved, *(grad.contiguous() for grad in grads), color_grad, density_grad, n_rays]
        _backward[(triton.cdiv(n_rays, BLOCK),)](*arguments, BLOCK=BLOCK)
        return color_grad, density_grad, None, None, None


def composite(
    color: Tensor, density: Tensor, t: Tensor, delta: Tensor, start: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Composites samples as `volume.composite` does; see there.

    Args:
        color: (M, 3).
        density: (M,), 1/m.
        t, delta, start: as in `Samples`.

    Returns:
        Premultiplied colour (N, 3), opacity (N,) and premultiplied depth (N,) of each ray, and the weights (M,).
    """
    return _Composite.apply(color, density, t, delta, start)  # type: ignore[return-value]
