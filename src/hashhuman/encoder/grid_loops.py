"""The loops of `NumbaHashGrids`. Each handles a range of rows, or of levels, of all parts.

`lanes` is a tuple of as many numbers as an entry has features. The length of a tuple is known when a loop is compiled,
so that the innermost loops become vector instructions. What two loops do alike for a corner stays in both: in a
function of its own it took twice the time.
"""

import numpy as np

from hashhuman.cpu.loops import compiled


@compiled
def _locate(x, row, scale, factors):
    """The position in its cell along each axis, and the products of the cell's lowest corner with the factors."""
    p = x[row, 0] * scale + np.float32(0.5)
    q = x[row, 1] * scale + np.float32(0.5)
    r = x[row, 2] * scale + np.float32(0.5)
    i, j, k = np.floor(p), np.floor(q), np.floor(r)
    low = np.int64(i) * factors[0], np.int64(j) * factors[1], np.int64(k) * factors[2]
    return (p - i, q - j, r - k), low


@compiled
def _side(inside, upper):
    """The linear weight of the lower or upper side of a cell."""
    return inside if upper else np.float32(1) - inside


@compiled
def _entry(low, corner, factors, size, offset, dense):
    """The table's row of one of a cell's eight corners."""
    u = low[0] + (corner >> 2) * factors[0]
    v = low[1] + ((corner >> 1) & 1) * factors[1]
    w = low[2] + (corner & 1) * factors[2]
    if dense:
        index = u + v + w
        if index < 0 or index >= size:  # rare, and a division costs more than all the rest
            index %= size
    else:  # 64-bit products have the same lower bits as the 32-bit ones, and only those are used
        index = (u ^ v ^ w) & (size - 1)
    return np.uint64(offset + index)  # an unsigned index is not tested for being negative


@compiled
def encode(first, last, x, table, starts, used, scale, factors, size, offset, n_dense, lanes, out):
    """Adds the features of rows to `out` (rows, levels, features)."""
    for part in range(len(starts)):
        for level in range(scale.shape[1]):
            by, factor, dense = scale[part, level], factors[part, level], level < n_dense[part]
            n, at = size[part, level], offset[part, level]
            for row in range(max(first, starts[part]), min(last, starts[part] + used[part])):
                inside, low = _locate(x, row, by, factor)
                to = out[row, level]
                for corner in range(8):
                    a, b, c = corner >> 2, (corner >> 1) & 1, corner & 1
                    weight = _side(inside[0], a) * _side(inside[1], b) * _side(inside[2], c)
                    entry = table[_entry(low, corner, factor, n, at, dense)]
                    for f in range(len(lanes)):
                        to[f] += weight * entry[f]


@compiled
def add_to_table(first, last, x, upstream, starts, used, scale, factors, size, offset, n_dense, lanes, gradient):
    """Writes the gradient of the table's entries of levels: zeros, to which it adds while they are in the cache."""
    for part in range(len(starts)):
        for level in range(first, last):
            by, factor, dense = scale[part, level], factors[part, level], level < n_dense[part]
            n, at = size[part, level], offset[part, level]
            gradient[at : at + n] = 0
            for row in range(starts[part], starts[part] + used[part]):
                inside, low = _locate(x, row, by, factor)
                of_row = upstream[row, level]
                for corner in range(8):
                    a, b, c = corner >> 2, (corner >> 1) & 1, corner & 1
                    weight = _side(inside[0], a) * _side(inside[1], b) * _side(inside[2], c)
                    to = gradient[_entry(low, corner, factor, n, at, dense)]
                    for f in range(len(lanes)):
                        to[f] += weight * of_row[f]


@compiled
def gradient_of_position(
    first, last, x, table, upstream, starts, used, scale, factors, size, offset, n_dense, lanes, out
):
    """Adds to the gradient of the positions of rows: that of the weights, piecewise constant along each axis."""
    for part in range(len(starts)):
        for level in range(scale.shape[1]):
            by, factor, dense = scale[part, level], factors[part, level], level < n_dense[part]
            n, at = size[part, level], offset[part, level]
            for row in range(max(first, starts[part]), min(last, starts[part] + used[part])):
                inside, low = _locate(x, row, by, factor)
                of_row = upstream[row, level]
                for corner in range(8):
                    a, b, c = corner >> 2, (corner >> 1) & 1, corner & 1
                    u, v, w = _side(inside[0], a), _side(inside[1], b), _side(inside[2], c)
                    entry = table[_entry(low, corner, factor, n, at, dense)]
                    value = np.float32(0)
                    for f in range(len(lanes)):
                        value += entry[f] * of_row[f]
                    value *= by
                    out[row, 0] += value * v * w * (2 * a - 1)
                    out[row, 1] += value * u * w * (2 * b - 1)
                    out[row, 2] += value * u * v * (2 * c - 1)
