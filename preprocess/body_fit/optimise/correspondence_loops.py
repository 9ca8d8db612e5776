"""The search for the body's rim, in loops for the CPU: most vertices are ruled out by what is known of them alone."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.cpu.loops import array, compiled
from preprocess.body_fit.posing_loops import over_frames


def nearest_on_rim(
    pixels: Float[Tensor, "F M 2"], flat: Float[Tensor, "F M 2"], off_rim: Float[Tensor, "F M"],
    points: Float[Tensor, "F C 2"], normals: Float[Tensor, "F C 2"], scale: Float[Tensor, "F"], disagreement: float,
) -> Int[Tensor, "F C"]:  # fmt: skip
    """For each contour point, the vertex of the least cost.

    Args:
        pixels: the vertices in the pictures.
        flat: directions of their normals in the picture, of unit length.
        off_rim: what each vertex costs by itself.
        points, normals: of the contour.
        scale: cost of a pixel of distance in each frame.
        disagreement: cost of a unit of disagreement between normals.
    """
    order = off_rim.argsort(dim=1, stable=True)
    sorted_ = (x.gather(1, order[..., None].expand(-1, -1, 2)) for x in (pixels, flat))
    best = np.zeros(points.shape[:2], np.int64)  # where no cost is finite, the first one is as good as any
    over_frames(
        _nearest, len(pixels), *map(array, sorted_), array(off_rim.gather(1, order)), array(points), array(normals),
        array(scale), np.float32(disagreement), best,
    )  # fmt: skip
    return order.gather(1, torch.from_numpy(best))


@compiled
def _nearest(first, last, pixels, flat, off_rim, points, normals, scale, disagreement, best):
    """Writes the places of the best vertices, which come in the order of what they cost by themselves."""
    for f in range(first, last):
        for c in range(points.shape[1]):
            x, y = points[f, c]
            u, v = normals[f, c]
            least = np.float32(np.inf)
            for m in range(pixels.shape[1]):
                if off_rim[f, m] >= least:
                    break
                dx, dy = pixels[f, m, 0] - x, pixels[f, m, 1] - y
                cost = off_rim[f, m] + disagreement * (np.float32(1) - u * flat[f, m, 0] - v * flat[f, m, 1])
                cost += np.float32(np.sqrt(dx * dx + dy * dy)) * scale[f]
                if cost < least:
                    least, best[f, c] = cost, m
