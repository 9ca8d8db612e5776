"""Triton kernels of the hash grids of all parts.

Notation: M rows, L levels, F features of an entry. A program computes BLOCK rows of one level. Consecutive programs
compute the same level, so that its table stays in the caches.

Entries are moved in aligned groups of GROUP. The entries of a cell's corners at x and x + 1 differ only in their lowest
bits, dense or hashed (the first prime is 1), so that one access often reads both. The number of accesses, not of bytes,
limits the speed.

In registers an entry has WIDTH columns: F, or else the next power of two, and GROUP is then 1.
"""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def grid_forward(
    x, row_stride, axis_stride, table, levels, scales, used, out, n_rows, starts,
    N_LEVELS: tl.constexpr, F: tl.constexpr, WIDTH: tl.constexpr, GROUP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes the features (L F, M). Unused rows get zeros if their whole block is unused, else finite numbers."""
    level = tl.program_id(1)
    row, real, at_level, any_real = _rows(used, starts, level, N_LEVELS, BLOCK)
    out += (level * F).to(tl.int64) * n_rows + row
    features = tl.zeros([BLOCK, WIDTH], tl.float32)
    if any_real:
        factor_y, factor_z, resolution, size, offset, hashed, scale = _level(levels, scales, at_level)
        places = x + row * row_stride
        cell_x, along_x = _cell(places, real, scale, resolution)
        cell_y, along_y = _cell(places + axis_stride, real, scale, resolution)
        cell_z, along_z = _cell(places + 2 * axis_stride, real, scale, resolution)
        column = tl.arange(0, GROUP * WIDTH)[None, :]
        inside = column < GROUP * F
        feature = tl.arange(0, WIDTH)[None, :]
        groups = tl.zeros([BLOCK, GROUP * WIDTH], tl.float32)
        for corner in tl.static_range(4):
            y = (cell_y + corner % 2) * factor_y
            z = (cell_z + corner // 2) * factor_z
            low = offset + _entry(cell_x, y, z, size, hashed)
            high = offset + _entry(cell_x + 1, y, z, size, hashed)
            weight = _weight(along_y, corner % 2) * _weight(along_z, corner // 2)
            group, weights, apart = _group(low, high, weight * (1 - along_x), weight * along_x, column, WIDTH, GROUP)
            values = tl.load(table + group[:, None] * (GROUP * F) + column, mask=inside, other=0.0)
            groups += values.to(tl.float32) * weights
            mask = apart[:, None] & (feature < F)
            values = tl.load(table + high[:, None] * F + feature, mask=mask, other=0.0)
            features += values.to(tl.float32) * (weight * along_x)[:, None]
        features += tl.sum(tl.reshape(groups, [BLOCK, GROUP, WIDTH]), 1)
    for f in tl.static_range(F):
        column_f = tl.arange(0, WIDTH)[None, :] == f
        tl.store(out + f * n_rows, tl.sum(tl.where(column_f, features, 0.0), 1))


@triton.jit
@no_type_check
def grid_backward(
    x, row_stride, axis_stride, table, levels, scales, used, upstream, up_row_stride, up_column_stride,
    table_gradient, x_gradient, n_rows, starts,
    N_LEVELS: tl.constexpr, F: tl.constexpr, WIDTH: tl.constexpr, GROUP: tl.constexpr,
    GRADIENT_GROUP: tl.constexpr, OF_TABLE: tl.constexpr, OF_X: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Adds to the gradients of the table (entries, F) and of the positions (3, M)."""
    level = tl.program_id(1)
    row, real, at_level, any_real = _rows(used, starts, level, N_LEVELS, BLOCK)
    if any_real:
        gradients = upstream + row.to(tl.int64) * up_row_stride + (level * F).to(tl.int64) * up_column_stride
        feature = tl.arange(0, WIDTH)[None, :]
        gradient = tl.zeros([BLOCK, WIDTH], tl.float32)
        matters = row < 0
        for f in tl.static_range(F):
            one = tl.load(gradients + f * up_column_stride, mask=real, other=0.0).to(tl.float32)
            gradient += tl.where(feature == f, one[:, None], 0.0)
            matters |= one != 0

        factor_y, factor_z, resolution, size, offset, hashed, scale = _level(levels, scales, at_level)
        places = x + row * row_stride
        cell_x, along_x = _cell(places, real, scale, resolution)
        cell_y, along_y = _cell(places + axis_stride, real, scale, resolution)
        cell_z, along_z = _cell(places + 2 * axis_stride, real, scale, resolution)
        slope_x = tl.zeros([BLOCK], tl.float32)
        slope_y = tl.zeros([BLOCK], tl.float32)
        slope_z = tl.zeros([BLOCK], tl.float32)
        for corner in tl.static_range(4):
            y = (cell_y + corner % 2) * factor_y
            z = (cell_z + corner // 2) * factor_z
            low = offset + _entry(cell_x, y, z, size, hashed)
            high = offset + _entry(cell_x + 1, y, z, size, hashed)
            weight_y, weight_z = _weight(along_y, corner % 2), _weight(along_z, corner // 2)
            if OF_TABLE:
                weight = weight_y * weight_z
                below, above = weight * (1 - along_x), weight * along_x
                column = tl.arange(0, GRADIENT_GROUP * WIDTH)[None, :]
                group, weights, apart = _group(low, high, below, above, column, WIDTH, GRADIENT_GROUP)
                entries = table_gradient + group[:, None] * (GRADIENT_GROUP * F) + column
                mask = matters[:, None] & (column < GRADIENT_GROUP * F)
                _add(entries, weights * _repeat(gradient, BLOCK, WIDTH, GRADIENT_GROUP), mask)
                mask = (matters & apart)[:, None] & (feature < F)
                _add(table_gradient + high[:, None] * F + feature, gradient * above[:, None], mask)
            if OF_X:
                column = tl.arange(0, GROUP * WIDTH)[None, :]
                group, _, apart = _group(low, high, along_x, along_x, column, WIDTH, GROUP)
                mask = matters[:, None] & (column < GROUP * F)
                values = tl.load(table + group[:, None] * (GROUP * F) + column, mask=mask, other=0.0)
                products = values.to(tl.float32) * _repeat(gradient, BLOCK, WIDTH, GROUP)
                slot = column // WIDTH
                at_low = tl.sum(tl.where(slot == (low % GROUP)[:, None], products, 0.0), 1)
                together = (slot == (high % GROUP)[:, None]) & (apart == 0)[:, None]
                mask = (matters & apart)[:, None] & (feature < F)
                values = tl.load(table + high[:, None] * F + feature, mask=mask, other=0.0)
                at_high = tl.sum(tl.where(together, products, 0.0), 1) + tl.sum(values.to(tl.float32) * gradient, 1)
                between = at_low + (at_high - at_low) * along_x
                slope_x += (at_high - at_low) * weight_y * weight_z
                slope_y += between * weight_z * (2 * (corner % 2) - 1)
                slope_z += between * weight_y * (2 * (corner // 2) - 1)
        if OF_X:
            tl.atomic_add(x_gradient + row, slope_x * scale, mask=matters, sem="relaxed")
            tl.atomic_add(x_gradient + n_rows + row, slope_y * scale, mask=matters, sem="relaxed")
            tl.atomic_add(x_gradient + 2 * n_rows + row, slope_z * scale, mask=matters, sem="relaxed")


@triton.jit
@no_type_check
def _rows(used, starts, level, N_LEVELS: tl.constexpr, BLOCK: tl.constexpr):
    """The program's rows, whether each is used, the index of the part's level in the lists, whether any row is used."""
    first = tl.program_id(0) * BLOCK
    part = 0
    start = 0
    for p in tl.static_range(1, len(starts)):
        beyond = first >= starts[p]
        part = tl.where(beyond, p, part)
        start = tl.where(beyond, starts[p], start)
    left = tl.load(used + part) - (first - start)
    within = tl.arange(0, BLOCK)
    return first + within, within < left, part * N_LEVELS + level, left > 0


@triton.jit
@no_type_check
def _level(levels, scales, at):
    """A level's factors along y and z, resolution, size, offset, whether it is hashed, and its scale."""
    levels += at * 6
    return (
        tl.load(levels),
        tl.load(levels + 1),
        tl.load(levels + 2),
        tl.load(levels + 3),
        tl.load(levels + 4),
        tl.load(levels + 5) != 0,
        tl.load(scales + at),
    )


@triton.jit
@no_type_check
def _cell(x, real, scale, resolution):
    """The cell of each row along one axis, and the position in it, from 0 to 1."""
    position = tl.load(x, mask=real, other=0.0).to(tl.float32) * scale + 0.5
    low = tl.floor(position)
    return tl.minimum(tl.maximum(low.to(tl.int32), 0), resolution), position - low


@triton.jit
@no_type_check
def _weight(along, SIDE: tl.constexpr):
    """Interpolation weight of the low (0) or high (1) side of a cell."""
    if SIDE:
        return along
    else:
        return 1 - along


@triton.jit
@no_type_check
def _entry(x, y, z, size, hashed):
    """The entry of a node: the xor or the sum of its coordinates times the axes' factors, modulo the level's size."""
    total = x + y + z
    return tl.where(hashed, (x ^ y ^ z) & (size - 1), tl.where(total >= size, total - size, total))


@triton.jit
@no_type_check
def _group(low, high, below, above, column, WIDTH: tl.constexpr, GROUP: tl.constexpr):
    """The group of entry `low`, the weights of the group's columns, and whether `high` lies outside the group.

    Columns of `low` have the weight `below`; those of `high`, if it lies in the group, have the weight `above`.
    """
    group = low // GROUP
    apart = group != high // GROUP
    slot = column // WIDTH
    weights = tl.where(slot == (low % GROUP)[:, None], below[:, None], 0.0)
    together = tl.where(apart, 0.0, above)
    return group, weights + tl.where(slot == (high % GROUP)[:, None], together[:, None], 0.0), apart


@triton.jit
@no_type_check
def _repeat(x, BLOCK: tl.constexpr, WIDTH: tl.constexpr, TIMES: tl.constexpr):
    """The columns of `x` repeated: (BLOCK, TIMES * WIDTH)."""
    return tl.reshape(tl.broadcast_to(x[:, None, :], [BLOCK, TIMES, WIDTH]), [BLOCK, TIMES * WIDTH])


@triton.jit
@no_type_check
def _add(to, values, mask):
    tl.atomic_add(to, values.to(to.dtype.element_ty), mask=mask, sem="relaxed")
