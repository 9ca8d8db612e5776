"""Triton kernels of the networks of all parts.

Notation: M rows; N_IN inputs, hidden layers of WIDTH, N_OUT outputs. In registers they are padded to PAD_IN, PAD_WIDTH
and PAD_OUT, powers of two from 16 on. A program keeps the weights of one part in registers and iterates over the part's
blocks of BLOCK rows. Each part gets programs in proportion to its used rows.
"""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def mlp_forward(
    x, x_row_stride, x_column_stride, weights, biases, used, out, out_row_stride, out_column_stride, n_rows, starts,
    N_IN: tl.constexpr, WIDTH: tl.constexpr, N_OUT: tl.constexpr,
    PAD_IN: tl.constexpr, PAD_WIDTH: tl.constexpr, PAD_OUT: tl.constexpr,
    PRECISION: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes the output, with zeros in unused rows."""
    part, start, n_used, n_mine, first, stride = _share(used, starts, n_rows, BLOCK)
    LAST: tl.constexpr = len(weights) - 1
    matrices = ()
    offsets = ()
    for layer in tl.static_range(LAST + 1):
        matrix, offset = _layer(
            weights[layer], biases[layer], part, layer, LAST, N_IN, WIDTH, N_OUT, PAD_IN, PAD_WIDTH, PAD_OUT
        )
        matrices += (matrix,)
        offsets += (offset,)
    out += start.to(tl.int64) * out_row_stride
    for block in range(first, tl.cdiv(n_used, BLOCK), stride):
        row = block * BLOCK + tl.arange(0, BLOCK)
        y = _tile(x, start + row, x_row_stride, x_column_stride, N_IN, PAD_IN)
        for layer in tl.static_range(LAST):
            y = tl.maximum(_dot(y, matrices[layer], PRECISION) + offsets[layer], 0.0)
        y = _dot(y, matrices[LAST], PRECISION) + offsets[LAST]
        y = tl.where((row < n_used)[:, None], y, 0.0)
        _store_tile(out, row, out_row_stride, out_column_stride, y, N_OUT, PAD_OUT)
    for block in range(tl.cdiv(n_used, BLOCK) + first, n_mine // BLOCK, stride):
        row = block * BLOCK + tl.arange(0, BLOCK)
        zeros = tl.zeros([BLOCK, PAD_OUT], tl.float32)
        _store_tile(out, row, out_row_stride, out_column_stride, zeros, N_OUT, PAD_OUT)


@triton.jit
@no_type_check
def mlp_backward(
    x, x_row_stride, x_column_stride, weights, biases, used, upstream, up_row_stride, up_column_stride,
    x_gradient, gradient_row_stride, gradient_column_stride, partials, n_parameters, places, n_rows, starts,
    N_IN: tl.constexpr, WIDTH: tl.constexpr, N_OUT: tl.constexpr,
    PAD_IN: tl.constexpr, PAD_WIDTH: tl.constexpr, PAD_OUT: tl.constexpr,
    OF_X: tl.constexpr, PRECISION: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes each program's part of the parameters' gradients, and with OF_X the input's gradient.

    Row i of `partials` is program i's; `places` are the starts of the layers' weights and biases in it. The input's
    gradient is zero in unused rows. Hidden layers are computed again, not stored by the forward.
    """
    part, start, n_used, n_mine, first, stride = _share(used, starts, n_rows, BLOCK)
    LAST: tl.constexpr = len(weights) - 1
    matrices = ()
    offsets = ()
    for layer in tl.static_range(LAST + 1):
        matrix, offset = _layer(
            weights[layer], biases[layer], part, layer, LAST, N_IN, WIDTH, N_OUT, PAD_IN, PAD_WIDTH, PAD_OUT
        )
        matrices += (matrix,)
        offsets += (offset,)
    # The last layer's slopes come first. The first layer's are transposed, so that every product has WIDTH rows: tensor
    # cores need many rows, and there may be few inputs.
    slopes = ()
    offset_slopes = ()
    for back in tl.static_range(LAST + 1):
        slopes += (tl.zeros_like(matrices[LAST - back] if back < LAST else tl.trans(matrices[0])),)
        offset_slopes += (tl.zeros_like(offsets[LAST - back]),)
    x_gradient += start.to(tl.int64) * gradient_row_stride
    for block in range(first, tl.cdiv(n_used, BLOCK), stride):
        row = block * BLOCK + tl.arange(0, BLOCK)
        real = (row < n_used)[:, None]
        y = tl.where(real, _tile(x, start + row, x_row_stride, x_column_stride, N_IN, PAD_IN), 0.0)
        inputs = (y,)
        for layer in tl.static_range(LAST):
            y = tl.maximum(_dot(y, matrices[layer], PRECISION) + offsets[layer], 0.0)
            inputs += (y,)
        gradient = tl.where(real, _tile(upstream, start + row, up_row_stride, up_column_stride, N_OUT, PAD_OUT), 0.0)
        new_slopes = ()
        new_offset_slopes = ()
        for back in tl.static_range(LAST):
            layer_input = inputs[LAST - back]
            new_slopes += (slopes[back] + _slope_dot(tl.trans(layer_input), gradient, PRECISION),)
            new_offset_slopes += (offset_slopes[back] + tl.sum(gradient, 0)[None, :],)
            gradient = _slope_dot(gradient, tl.trans(matrices[LAST - back]), PRECISION)
            gradient = tl.where(layer_input > 0, gradient, 0.0)
        new_slopes += (slopes[LAST] + _slope_dot(tl.trans(gradient), inputs[0], PRECISION),)
        new_offset_slopes += (offset_slopes[LAST] + tl.sum(gradient, 0)[None, :],)
        slopes = new_slopes
        offset_slopes = new_offset_slopes
        if OF_X:
            gradient = _slope_dot(gradient, tl.trans(matrices[0]), PRECISION)
            _store_tile(x_gradient, row, gradient_row_stride, gradient_column_stride, gradient, N_IN, PAD_IN)
    if OF_X:
        for block in range(tl.cdiv(n_used, BLOCK) + first, n_mine // BLOCK, stride):
            row = block * BLOCK + tl.arange(0, BLOCK)
            zeros = tl.zeros([BLOCK, PAD_IN], tl.float32)
            _store_tile(x_gradient, row, gradient_row_stride, gradient_column_stride, zeros, N_IN, PAD_IN)
    partials += tl.program_id(0) * n_parameters
    for back in tl.static_range(LAST + 1):
        _store_slopes(
            partials + places[2 * (LAST - back)], partials + places[2 * (LAST - back) + 1],
            slopes[back] if back < LAST else tl.trans(slopes[back]), offset_slopes[back],
            LAST - back, LAST, N_IN, WIDTH, N_OUT, PAD_IN, PAD_WIDTH, PAD_OUT,
        )  # fmt: skip


@triton.jit(do_not_specialize=["n_programs"])
@no_type_check
def sum_partials(
    partials, n_programs, used, out, n_parameters, places, starts,
    BLOCK: tl.constexpr, SLOTS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums `partials` over the programs of each part. In `out`, the parts of a tensor follow one another."""
    part = tl.program_id(1)
    begin, end = _programs(used, starts, part, n_programs, BLOCK)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    real = column < n_parameters
    total = tl.zeros([COLUMNS], tl.float32)
    for slot in range(begin, end, SLOTS):
        program = slot + tl.arange(0, SLOTS)
        mask = (program < end)[:, None] & real[None, :]
        total += tl.sum(tl.load(partials + program[:, None] * n_parameters + column[None, :], mask=mask, other=0.0), 0)
    place = column * 0
    size = column * 0
    for i in tl.static_range(len(places)):
        within = column >= places[i]
        place = tl.where(within, places[i], place)
        if i + 1 < len(places):
            size = tl.where(within, places[i + 1] - places[i], size)
        else:
            size = tl.where(within, n_parameters - places[i], size)
    tl.store(out + place * len(starts) + part * size + column - place, total, mask=real)


@triton.jit
@no_type_check
def _programs(used, starts, part, n_programs, BLOCK: tl.constexpr):
    """The programs of a part, from `begin` to `end` (exclusive): at least one, in proportion to its used blocks."""
    before = 0
    through = 0
    total = 0
    for p in tl.static_range(len(starts)):
        blocks = tl.cdiv(tl.load(used + p), BLOCK)
        before += tl.where(p < part, blocks, 0)
        through += tl.where(p <= part, blocks, 0)
        total += blocks
    spare = n_programs - len(starts)
    total = tl.maximum(total, 1)
    return before * spare // total + part, through * spare // total + part + 1


@triton.jit
@no_type_check
def _share(used, starts, n_rows, BLOCK: tl.constexpr):
    """The program's part; the part's first row, used rows and rows; the program's first block, and step to the next."""
    program = tl.program_id(0)
    part = 0
    start = 0
    end = n_rows
    first = program
    stride = 1
    for p in tl.static_range(len(starts)):
        begin, stop = _programs(used, starts, p, tl.num_programs(0), BLOCK)
        mine = (program >= begin) & (program < stop)
        part = tl.where(mine, p, part)
        start = tl.where(mine, starts[p], start)
        if p + 1 < len(starts):
            end = tl.where(mine, starts[p + 1], end)
        first = tl.where(mine, program - begin, first)
        stride = tl.where(mine, stop - begin, stride)
    return part, start, tl.load(used + part), end - start, first, stride


@triton.jit
@no_type_check
def _layer(
    weights, biases, part, LAYER: tl.constexpr, LAST: tl.constexpr, N_IN: tl.constexpr, WIDTH: tl.constexpr,
    N_OUT: tl.constexpr, PAD_IN: tl.constexpr, PAD_WIDTH: tl.constexpr, PAD_OUT: tl.constexpr,
):  # fmt: skip
    """Weights and biases of a part's layer, padded with zeros."""
    ROWS: tl.constexpr = N_IN if LAYER == 0 else WIDTH
    COLUMNS: tl.constexpr = N_OUT if LAYER == LAST else WIDTH
    row = tl.arange(0, PAD_IN if LAYER == 0 else PAD_WIDTH)[:, None]
    column = tl.arange(0, PAD_OUT if LAYER == LAST else PAD_WIDTH)[None, :]
    mask = (row < ROWS) & (column < COLUMNS)
    matrix = tl.load(weights + part * (ROWS * COLUMNS) + row * COLUMNS + column, mask=mask, other=0.0)
    return matrix, tl.load(biases + part * COLUMNS + column, mask=column < COLUMNS, other=0.0)


@triton.jit
@no_type_check
def _store_slopes(
    to, offset_to, slope, offset_slope, LAYER: tl.constexpr, LAST: tl.constexpr, N_IN: tl.constexpr,
    WIDTH: tl.constexpr, N_OUT: tl.constexpr, PAD_IN: tl.constexpr, PAD_WIDTH: tl.constexpr, PAD_OUT: tl.constexpr,
):  # fmt: skip
    ROWS: tl.constexpr = N_IN if LAYER == 0 else WIDTH
    COLUMNS: tl.constexpr = N_OUT if LAYER == LAST else WIDTH
    row = tl.arange(0, PAD_IN if LAYER == 0 else PAD_WIDTH)[:, None]
    column = tl.arange(0, PAD_OUT if LAYER == LAST else PAD_WIDTH)[None, :]
    tl.store(to + row * COLUMNS + column, slope, mask=(row < ROWS) & (column < COLUMNS))
    tl.store(offset_to + column, offset_slope, mask=column < COLUMNS)


@triton.jit
@no_type_check
def _tile(x, row, row_stride, column_stride, N: tl.constexpr, PAD: tl.constexpr):
    """Rows of a matrix of N columns, padded with zeros. Rows need no mask, since a part's rows fill whole GRANULEs."""
    column = tl.arange(0, PAD)[None, :]
    places = x + row[:, None].to(tl.int64) * row_stride + column * column_stride
    return tl.load(places, mask=column < N, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def _store_tile(to, row, row_stride, column_stride, values, N: tl.constexpr, PAD: tl.constexpr):
    column = tl.arange(0, PAD)[None, :]
    tl.store(to + row[:, None].to(tl.int64) * row_stride + column * column_stride, values, mask=column < N)


@triton.jit
@no_type_check
def _dot(a, b, PRECISION: tl.constexpr):
    if PRECISION == "float16":
        return tl.dot(a.to(tl.float16), b.to(tl.float16))
    else:
        return tl.dot(a, b, input_precision=PRECISION)


@triton.jit
@no_type_check
def _slope_dot(a, b, PRECISION: tl.constexpr):
    """Multiplies gradients in tf32 where outputs use float16, since gradients over- and underflow in float16.

    bfloat16 is no alternative: Triton 3.6 compiles the last products so that an H100 reads beyond its shared memory.
    """
    return tl.dot(a, b, input_precision="tf32" if PRECISION == "float16" else PRECISION)
