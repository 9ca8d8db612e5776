"""Vectors and 3 x 3 matrices in Triton kernels, one for each row of a program's block.

A vector is three tensors and a matrix is nine tensors, row by row, so that both stay in registers.
"""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def load_vector(source, step, mask):
    """Loads three components that lie `step` elements apart; zeros where `mask` is false."""
    x = tl.load(source, mask=mask, other=0.0)
    y = tl.load(source + step, mask=mask, other=0.0)
    z = tl.load(source + 2 * step, mask=mask, other=0.0)
    return x, y, z


@triton.jit
@no_type_check
def load_matrix(source, row_step, column_step, mask):
    """Loads nine components; `row_step` and `column_step` are the strides. Zeros where `mask` is false."""
    a, b, c = load_vector(source, column_step, mask)
    d, e, f = load_vector(source + row_step, column_step, mask)
    g, h, i = load_vector(source + 2 * row_step, column_step, mask)
    return a, b, c, d, e, f, g, h, i


@triton.jit
@no_type_check
def store_vector(target, step, x, y, z, mask):
    """Stores three components `step` elements apart."""
    tl.store(target, x, mask=mask)
    tl.store(target + step, y, mask=mask)
    tl.store(target + 2 * step, z, mask=mask)


@triton.jit
@no_type_check
def turn(m, x, y, z):
    """The matrix times the vector."""
    return m[0] * x + m[1] * y + m[2] * z, m[3] * x + m[4] * y + m[5] * z, m[6] * x + m[7] * y + m[8] * z


@triton.jit
@no_type_check
def turn_back(m, x, y, z):
    """The transposed matrix times the vector."""
    return m[0] * x + m[3] * y + m[6] * z, m[1] * x + m[4] * y + m[7] * z, m[2] * x + m[5] * y + m[8] * z
