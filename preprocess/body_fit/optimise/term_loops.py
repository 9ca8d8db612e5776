"""The terms of the skin, with their gradients, in loops for the CPU: one pass over the vertices of each frame.

Each function returns what the method of `Terms` of its name does; the loops find values and gradients at once. Maps
have their channels last, so that all values of a cell lie side by side.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.cpu.loops import array, compiled
from preprocess.body_fit.geometry import NEAREST
from preprocess.body_fit.posing_loops import over_frames


class _Known(torch.autograd.Function):
    """A value of the vertices whose gradient has been computed with it."""

    @staticmethod
    def forward(ctx, vertices, value, gradient):  # type: ignore[override]
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    def backward(ctx, of_value):  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return gradient * of_value, None, None


def _with_gradient(vertices: Tensor, value: float, gradient: Tensor) -> Tensor:
    return _Known.apply(vertices, torch.tensor(value, dtype=torch.float32), gradient)  # type: ignore[return-value]


def _lens(K: Float[Tensor, "3 3"]) -> Float[np.ndarray, "4"]:
    """Focal lengths and principal point (pixels)."""
    return array(torch.stack([K[0, 0], K[1, 1], K[0, 2], K[1, 2]]))


def inside(
    vertices: Float[Tensor, "F M 3"], K: Float[Tensor, "3 3"], distance: Float[np.ndarray, "F S S 1"],
    origin: Float[np.ndarray, "F 2"], step: Float[np.ndarray, "F"], scale: Float[np.ndarray, "F"], most: float,
) -> Tensor:  # fmt: skip
    """`Terms.inside`.

    Args:
        vertices: posed (m, camera axes).
        K: intrinsics (pixels).
        distance, origin, step: of the silhouettes.
        scale: deviations a pixel in each frame; zero for a frame that does not count.
        most: `scale` of the Geman-McClure penalty.
    """
    gradient = torch.zeros_like(vertices)
    total = over_frames(
        _inside, len(vertices), array(vertices), _lens(K), distance, origin, step, scale, np.float32(most),
        gradient.numpy(),
    )  # fmt: skip
    return _with_gradient(vertices, sum(total) / vertices[..., 0].numel(), gradient.div_(vertices[..., 0].numel()))


def contour(
    vertices: Float[Tensor, "F M 3"], K: Float[Tensor, "3 3"], rim: Int[Tensor, "F C"],
    points: Float[np.ndarray, "F C 2"], normals: Float[np.ndarray, "F C 2"], valid: Bool[np.ndarray, "F C"],
    scale: Float[np.ndarray, "F"], most: float,
) -> Tensor:  # fmt: skip
    """`Terms.contour`.

    Args:
        vertices: posed (m, camera axes).
        K: intrinsics (pixels).
        rim: the vertex of each contour point.
        points, normals, valid: of the silhouettes.
        scale: deviations a pixel in each frame.
        most: `scale` of the Geman-McClure penalty.
    """
    gradient = torch.zeros_like(vertices)
    total = over_frames(
        _contour, len(vertices), array(vertices), _lens(K), rim.numpy(), points, normals, valid, scale,
        np.float32(most), gradient.numpy(),
    )  # fmt: skip
    return _with_gradient(vertices, sum(total) / rim.numel(), gradient.div_(rim.numel()))


def flow(
    vertices: Float[Tensor, "F M 3"], K: Float[Tensor, "3 3"], seen: Int[Tensor, "F K"], counts: Bool[Tensor, "F K"],
    motion: Float[np.ndarray, "F S S 3"], origin: Float[np.ndarray, "F 2"], step: Float[np.ndarray, "F"],
    scale: Float[np.ndarray, "F"], most: float, ahead: int,
) -> Tensor:  # fmt: skip
    """`Terms.flow`.

    Args:
        vertices: posed (m, camera axes).
        K: intrinsics (pixels).
        seen, counts: of the correspondences.
        motion, origin, step: of the flow.
        scale: deviations a pixel in each frame.
        most: `scale` of the Geman-McClure penalty.
        ahead: frames between the two that are compared.
    """
    gradient = torch.zeros_like(vertices)
    pull = np.zeros((*seen.shape, 2), np.float32)
    given = array(vertices), _lens(K), seen.numpy(), counts.numpy()
    total = over_frames(
        _flow, len(vertices), *given, motion, origin, step, scale, np.float32(most), ahead, pull
    )  # fmt: skip
    over_frames(_flow_backward, len(vertices), *given, pull, ahead, gradient.numpy())
    return _with_gradient(vertices, sum(total) / vertices[..., 0].numel(), gradient.div_(vertices[..., 0].numel()))


def texture(
    vertices: Float[Tensor, "F M 3"], K: Float[Tensor, "3 3"], seen: Int[Tensor, "F K"], counts: Bool[Tensor, "F K"],
    contrast: Float[np.ndarray, "F S S C"], origin: Float[np.ndarray, "F 2"], step: Float[np.ndarray, "F"],
    scale: float, most: float,
) -> Tensor:  # fmt: skip
    """`Terms.texture`, with `robust_mean`.

    Args:
        vertices: posed (m, camera axes).
        K: intrinsics (pixels).
        seen, counts: of the correspondences.
        contrast, origin, step: of the texture.
        scale: deviations a unit of contrast.
        most: `scale` of the Geman-McClure penalty.
    """
    (frames, points), channels = vertices.shape[:2], contrast.shape[-1] - 1
    each = (0,) * channels  # a tuple, so that the compiler knows how many there are
    features = np.zeros((*seen.shape, channels), np.float32)
    weight = np.zeros(seen.shape, np.float32)
    given = array(vertices), _lens(K), seen.numpy(), counts.numpy(), each, contrast, origin, step
    over_frames(_sample, frames, *given, features, weight)
    mean, trust = np.zeros((points, channels), np.float32), weight.copy()
    for round_ in range(3):  # the first mean weighs as the pictures do
        weighed = over_frames(_weigh, frames, *given[2:5], features, trust, mean, round_ > 0, points)
        sums = np.sum(weighed, 0)
        mean = (sums[:, :-1] / np.maximum(sums[:, -1:], np.float32(1e-6))).astype(np.float32)
    gradient = torch.zeros_like(vertices)
    total = over_frames(
        _compare, frames, *given, features, weight, mean, np.float32(scale), np.float32(most), gradient.numpy(),
    )  # fmt: skip
    return _with_gradient(vertices, sum(total) / (frames * points), gradient.div_(frames * points))


_NEAREST, _ONE = np.float32(NEAREST), np.float32(1)  # Numba makes float64 of an integer and a float32


@compiled
def _add_pull(vertex, lens, u, v, gradient):
    """Adds to a vertex's gradient what a gradient (u, v) of its pixel makes of it, as through `project`."""
    x, y, z = vertex
    depth = max(z, _NEAREST)
    u, v = u * lens[0] / depth, v * lens[1] / depth
    gradient[0] += u
    gradient[1] += v
    if z >= _NEAREST:
        gradient[2] -= (u * x + v * y) / depth


@compiled
def _inside(first, last, vertices, lens, maps, origin, step, scale, most, gradient):
    """Writes gradients, and returns the sum of the penalties of some frames."""
    total = 0.0
    side = maps.shape[1]
    limit = np.float32(side - 1)
    for f in range(first, last):
        if scale[f] == 0:
            continue
        for m in range(vertices.shape[1]):
            depth = max(vertices[f, m, 2], _NEAREST)
            x = (lens[0] * vertices[f, m, 0] / depth + lens[2] - origin[f, 0]) / step[f]
            y = (lens[1] * vertices[f, m, 1] / depth + lens[3] - origin[f, 1]) / step[f]
            in_x, in_y = 0 < x < limit, 0 < y < limit
            x, y = min(max(x, np.float32(0)), limit), min(max(y, np.float32(0)), limit)
            i, j = min(int(x), side - 2), min(int(y), side - 2)
            a, b = x - np.float32(i), y - np.float32(j)
            p, q, r, s = maps[f, j, i, 0], maps[f, j, i + 1, 0], maps[f, j + 1, i, 0], maps[f, j + 1, i + 1, 0]
            top, bottom = p + a * (q - p), r + a * (s - r)
            outside = (top + b * (bottom - top)) * scale[f]
            if not outside > 0:
                continue
            shrunk = _ONE / (_ONE + outside * outside / (most * most))
            total += outside * outside * shrunk
            slope = np.float32(2) * outside * shrunk * shrunk * scale[f] / step[f]
            u = slope * ((q - p) + b * ((s - r) - (q - p))) if in_x else np.float32(0)
            v = slope * (bottom - top) if in_y else np.float32(0)
            _add_pull(vertices[f, m], lens, u, v, gradient[f, m])
    return total


@compiled
def _contour(first, last, vertices, lens, rim, points, normals, valid, scale, most, gradient):
    """Writes gradients, and returns the sum of the penalties of some frames."""
    total = 0.0
    for f in range(first, last):
        for c in range(rim.shape[1]):
            if not valid[f, c]:
                continue
            m = rim[f, c]
            depth = max(vertices[f, m, 2], _NEAREST)
            x = lens[0] * vertices[f, m, 0] / depth + lens[2] - points[f, c, 0]
            y = lens[1] * vertices[f, m, 1] / depth + lens[3] - points[f, c, 1]
            away = (x * normals[f, c, 0] + y * normals[f, c, 1]) * scale[f]
            shrunk = _ONE / (_ONE + away * away / (most * most))
            total += away * away * shrunk
            slope = np.float32(2) * away * shrunk * shrunk * scale[f]
            _add_pull(vertices[f, m], lens, slope * normals[f, c, 0], slope * normals[f, c, 1], gradient[f, m])
    return total


@compiled
def _corner(x, y, side):
    """Whether a cell's position lies within a cell of the map, and the cell's first corner."""
    return -1 < x < side and -1 < y < side, int(np.floor(x)), int(np.floor(y))


@compiled
def _flow(first, last, vertices, lens, seen, counts, motion, origin, step, scale, most, ahead, pull):
    """Writes the gradients of the later pixels, and returns the sum of the penalties of some frames."""
    total = 0.0
    frames, side = len(vertices), motion.shape[1]
    for f in range(first, last):
        later = min(f + ahead, frames - 1)
        for k in range(seen.shape[1]):
            if not counts[f, k]:
                continue
            m = seen[f, k]
            depth, depth_then = max(vertices[f, m, 2], _NEAREST), max(vertices[later, m, 2], _NEAREST)
            px = lens[0] * vertices[f, m, 0] / depth + lens[2]
            py = lens[1] * vertices[f, m, 1] / depth + lens[3]
            x, y = (px - origin[f, 0]) / step[f], (py - origin[f, 1]) / step[f]
            near, i, j = _corner(x, y, side)
            if not near:
                continue
            a, b = x - np.float32(i), y - np.float32(j)
            mx = my = trust = np.float32(0)
            for dj in range(2):
                for di in range(2):
                    if 0 <= i + di < side and 0 <= j + dj < side:
                        w = (a if di else _ONE - a) * (b if dj else _ONE - b)
                        mx += w * motion[f, j + dj, i + di, 0]
                        my += w * motion[f, j + dj, i + di, 1]
                        trust += w * motion[f, j + dj, i + di, 2]
            if trust == 0:
                continue
            rx = (lens[0] * vertices[later, m, 0] / depth_then + lens[2] - px - mx) * scale[f]
            ry = (lens[1] * vertices[later, m, 1] / depth_then + lens[3] - py - my) * scale[f]
            squared = rx * rx + ry * ry
            shrunk = _ONE / (_ONE + squared / (most * most))
            total += trust * squared * shrunk
            slope = np.float32(2) * trust * shrunk * shrunk * scale[f]
            pull[f, k, 0], pull[f, k, 1] = slope * rx, slope * ry
    return total


@compiled
def _flow_backward(first, last, vertices, lens, seen, counts, pull, ahead, gradient):
    """Carries the gradients of pixels to the vertices of some frames, as the earlier and as the later of the two."""
    frames = len(vertices)
    for f in range(first, last):
        for k in range(seen.shape[1]):
            if counts[f, k]:
                m = seen[f, k]
                _add_pull(vertices[f, m], lens, -pull[f, k, 0], -pull[f, k, 1], gradient[f, m])
        for g in range(max(f - ahead, 0), f + 1):
            if min(g + ahead, frames - 1) != f:
                continue
            for k in range(seen.shape[1]):
                if counts[g, k]:
                    m = seen[g, k]
                    _add_pull(vertices[f, m], lens, pull[g, k, 0], pull[g, k, 1], gradient[f, m])


@compiled
def _sample(first, last, vertices, lens, seen, counts, each, contrast, origin, step, features, weight):
    """Writes the features of the visible vertices of some frames, and how far to trust them."""
    side, channels = contrast.shape[1], len(each)
    for f in range(first, last):
        for k in range(seen.shape[1]):
            if not counts[f, k]:
                continue
            m = seen[f, k]
            depth = max(vertices[f, m, 2], _NEAREST)
            x = (lens[0] * vertices[f, m, 0] / depth + lens[2] - origin[f, 0]) / step[f]
            y = (lens[1] * vertices[f, m, 1] / depth + lens[3] - origin[f, 1]) / step[f]
            near, i, j = _corner(x, y, side)
            if not near:
                continue
            a, b = x - np.float32(i), y - np.float32(j)
            for dj in range(2):
                for di in range(2):
                    if 0 <= i + di < side and 0 <= j + dj < side:
                        w = (a if di else _ONE - a) * (b if dj else _ONE - b)
                        for c in range(channels):
                            features[f, k, c] += w * contrast[f, j + dj, i + di, c]
                        weight[f, k] += w * contrast[f, j + dj, i + di, channels]


@compiled
def _weigh(first, last, seen, counts, each, features, weight, mean, reweigh, points):
    """Weighs observations down by their distance from the mean, and returns weighted sums of some frames' features."""
    channels = len(each)
    sums = np.zeros((points, channels + 1), np.float32)
    for f in range(first, last):
        for k in range(seen.shape[1]):
            if not counts[f, k] or weight[f, k] == 0:
                continue
            m = seen[f, k]
            if reweigh:
                squared = np.float32(0)
                for c in range(channels):
                    away = features[f, k, c] - mean[m, c]
                    squared += away * away
                near = _ONE + squared / np.float32(2)
                weight[f, k] /= near * near
            for c in range(channels):
                sums[m, c] += weight[f, k] * features[f, k, c]
            sums[m, channels] += weight[f, k]
    return sums


@compiled
def _compare(
    first,
    last,
    vertices,
    lens,
    seen,
    counts,
    each,
    contrast,
    origin,
    step,
    features,
    weight,
    mean,
    scale,
    most,
    gradient,
):
    """Writes gradients, and returns the sum of the penalties of some frames."""
    total = 0.0
    side, channels = contrast.shape[1], len(each)
    for f in range(first, last):
        for k in range(seen.shape[1]):
            if not counts[f, k] or weight[f, k] == 0:
                continue
            m = seen[f, k]
            squared = np.float32(0)
            for c in range(channels):
                away = (features[f, k, c] - mean[m, c]) * scale
                squared += away * away
            shrunk = _ONE / (_ONE + squared / (most * most))
            total += weight[f, k] * squared * shrunk
            slope = np.float32(2) * weight[f, k] * shrunk * shrunk * scale * scale / step[f]
            depth = max(vertices[f, m, 2], _NEAREST)
            x = (lens[0] * vertices[f, m, 0] / depth + lens[2] - origin[f, 0]) / step[f]
            y = (lens[1] * vertices[f, m, 1] / depth + lens[3] - origin[f, 1]) / step[f]
            _, i, j = _corner(x, y, side)
            a, b = x - np.float32(i), y - np.float32(j)
            u = v = np.float32(0)
            for dj in range(2):
                for di in range(2):
                    if 0 <= i + di < side and 0 <= j + dj < side:
                        along = np.float32(0)
                        for c in range(channels):
                            along += contrast[f, j + dj, i + di, c] * (features[f, k, c] - mean[m, c])
                        u += along * (_ONE if di else -_ONE) * (b if dj else _ONE - b)
                        v += along * (_ONE if dj else -_ONE) * (a if di else _ONE - a)
            _add_pull(vertices[f, m], lens, slope * u, slope * v, gradient[f, m])
    return total
