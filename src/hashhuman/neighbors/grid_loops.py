"""Fills the grids of `GridNeighbors` in loops for the CPU."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.cpu.loops import array, compiled, in_parallel


@compiled
def _fill(first, last, vertices, members, around, origin, shape, start, keys, voxel, reach, unit):
    """Writes a part's body points to the nodes within reach that have no nearer one, for some frames."""
    sx, sy, sz = shape
    for frame in range(first, last):
        mine = keys[frame]
        for member in members:
            x = (vertices[frame, member, 0] - origin[frame, 0]) / voxel
            y = (vertices[frame, member, 1] - origin[frame, 1]) / voxel
            z = (vertices[frame, member, 2] - origin[frame, 2]) / voxel
            ni, nj, nk = int(np.rint(x)), int(np.rint(y)), int(np.rint(z))
            for step in range(len(around)):
                i, j, k = ni + around[step, 0], nj + around[step, 1], nk + around[step, 2]
                if not (0 <= i < sx and 0 <= j < sy and 0 <= k < sz):
                    continue
                a = (np.float32(i) - x) * voxel
                b = (np.float32(j) - y) * voxel
                c = (np.float32(k) - z) * voxel
                distance = np.sqrt(a * a + b * b + c * c)
                if not distance < reach:
                    continue
                key = (np.int32(distance / unit) << np.int32(16)) | member
                place = start + (i * sy + j) * sz + k
                if key < mine[place]:
                    mine[place] = key


def fill(
    vertices: Float[Tensor, "F V 3"],
    part: Int[Tensor, "_"],
    around: Int[Tensor, "S 3"],
    origin: Float[Tensor, "F 3"],
    shape: tuple[int, int, int],
    start: int,
    keys: Int[Tensor, "F nodes"],
    voxel: float,
    reach: float,
    unit: float,
) -> None:
    """Writes the body points of a part to its grid, as `GridNeighbors._fill` does, into `keys`.

    Args:
        vertices: body points (m, posed space).
        part: indices of the part's points.
        around: the steps from a body point's nearest node to those that may lie within reach.
        origin, shape, start, keys: of `GridNeighbors`, the first three those of the part.
        voxel, reach, unit: of `GridNeighbors`.
    """
    arrays = (array(values, torch.int32) for values in (part, around))
    lengths = map(np.float32, (voxel, reach, unit))
    in_parallel(
        _fill, len(vertices), array(vertices), *arrays, array(origin), shape, start, keys.numpy(), *lengths, at_least=1
    )
