"""The depth buffer of `visible_vertices` in a loop for the CPU: no list of points, of which there are millions."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.cpu.loops import array, compiled


@compiled
def _nearest(corners, low, scale, splits, pixels, depth):
    """Writes each face's points, at the nodes of a triangular grid over it, to the pixels in which they are nearest."""
    share = np.float32(1) / np.float32(splits)
    side = np.float32(pixels)
    for face in range(len(corners)):
        one, two, three = corners[face, 0], corners[face, 1], corners[face, 2]
        for i in range(splits + 1):
            for j in range(splits + 1 - i):
                a, b, c = np.float32(i) * share, np.float32(j) * share, np.float32(splits - i - j) * share
                x = a * one[0] + b * two[0] + c * three[0]
                y = a * one[1] + b * two[1] + c * three[1]
                z = a * one[2] + b * two[2] + c * three[2]
                column = int(min(max(np.rint((x - low[0]) * scale), np.float32(0)), side))
                row = int(min(max(np.rint((y - low[1]) * scale), np.float32(0)), side))
                place = row * (pixels + 1) + column
                if z < depth[place]:
                    depth[place] = z


def nearest(
    corners: Float[Tensor, "F 3 3"], low: Float[Tensor, "2"], scale: Float[Tensor, ""], splits: int, pixels: int
) -> Float[Tensor, "cells"]:
    """The depth buffer of faces, row by row.

    Args:
        corners: x, y and depth of each face's corners.
        low: x and y of the first pixel.
        scale: pixels per unit of x and y.
        splits: intervals along each side of a face, at whose nodes it is sampled.
        pixels: the last column and row.

    Returns:
        The least depth in each pixel; infinite where there is no face.
    """
    depth = torch.full(((pixels + 1) ** 2,), torch.inf)
    _nearest(array(corners), array(low), np.float32(scale), splits, pixels, depth.numpy())
    return depth
