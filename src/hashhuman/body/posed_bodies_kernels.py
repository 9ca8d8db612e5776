"""Device functions that carry points and directions from world to posed space, for Triton kernels."""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def turn_to_posed(pose, x, y, z):
    """R^T (x, y, z): a world direction in posed axes; `pose` points to matrices of `PosedBodies.world_from_posed`."""
    turned_x = tl.load(pose) * x + tl.load(pose + 4) * y + tl.load(pose + 8) * z
    turned_y = tl.load(pose + 1) * x + tl.load(pose + 5) * y + tl.load(pose + 9) * z
    turned_z = tl.load(pose + 2) * x + tl.load(pose + 6) * y + tl.load(pose + 10) * z
    return turned_x, turned_y, turned_z


@triton.jit
@no_type_check
def from_body(pose, positions, row, live):
    """World positions (rows of three) relative to the body's translation, in world axes: x - t."""
    x = tl.load(positions + row * 3, mask=live, other=0.0) - tl.load(pose + 3)
    y = tl.load(positions + row * 3 + 1, mask=live, other=0.0) - tl.load(pose + 7)
    z = tl.load(positions + row * 3 + 2, mask=live, other=0.0) - tl.load(pose + 11)
    return x, y, z
