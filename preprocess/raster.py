"""A z-buffer rasteriser in plain numpy: the nearest face of a mesh at each pixel."""

import numpy as np
from jaxtyping import Float, Int

_EDGE = 1e-9  # pixels: an edge belongs to both of its faces, so that rounding leaves no gap between them


def rasterise(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], height: int, width: int
) -> Int[np.ndarray, "{height} {width}"]:
    """The index of the nearest face at each pixel's centre (int32), -1 where there is none.

    Both sides of a face are drawn. Faces that reach behind the camera are not drawn. Depth is interpolated with
    perspective: barycentric coordinates and 1/z are affine functions of the pixel's position.

    Args:
        vertices: pixel x, pixel y (pixel centres at integers) and depth along the optical axis (m), as
            `Camera.project` returns them.
        faces: indices of the vertices of each face.
        height, width: of the picture (pixels).
    """
    corners = np.asarray(vertices, np.float64)[np.asarray(faces)]  # F, 3 corners, (x, y, z)
    edges = np.roll(corners[..., :2], 1, 1) - np.roll(corners[..., :2], -1, 1)  # the edge opposite each corner
    area = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    drawn = np.flatnonzero((corners[..., 2] > 0).all(1) & np.isfinite(area) & (area != 0))
    corners, edges, area = corners[drawn], edges[drawn], area[drawn, None]
    # Barycentric coordinate k of a pixel is (x - start_x) along_x + (y - start_y) along_y, where start is corner k + 1.
    start = np.roll(corners[..., :2], -1, 1)
    along_x, along_y = -edges[..., 1] / area, edges[..., 0] / area

    top = np.ceil(corners[..., 1].min(1) - _EDGE).clip(0, height).astype(np.int64)
    bottom = np.floor(corners[..., 1].max(1) + _EDGE).clip(-1, height - 1).astype(np.int64)
    face, step = _runs(bottom - top + 1)  # one element for each row that a face touches
    y = top[face] + step
    left, right = np.full(len(y), -_EDGE), np.full(len(y), width - 1 + _EDGE)
    for k in range(3):
        slope = along_x[face, k]
        offset = (y - start[face, k, 1]) * along_y[face, k]
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = start[face, k, 0] - offset / slope
        left = np.where(slope > 0, np.maximum(left, crossing - _EDGE), left)
        right = np.where(slope < 0, np.minimum(right, crossing + _EDGE), right)
        right = np.where((slope == 0) & (offset < -_EDGE), -1, right)
    left = np.ceil(left).clip(0, width).astype(np.int64)
    right = np.floor(right).clip(-1, width - 1).astype(np.int64)

    inverse_depth = 1 / corners[..., 2]
    depth_x, depth_y = (along_x * inverse_depth).sum(1), (along_y * inverse_depth).sum(1)
    at_left = inverse_depth[face, 0] + (left - corners[face, 0, 0]) * depth_x[face]
    at_left += (y - corners[face, 0, 1]) * depth_y[face]
    row, step = _runs(right - left + 1)  # one element for each pixel that a face covers
    face = face[row]
    pixel = (y * width + left)[row] + step
    inverse_depth = at_left[row] + step * depth_x[face]

    nearest = np.zeros(height * width)
    np.maximum.at(nearest, pixel, inverse_depth)
    visible = inverse_depth == nearest[pixel]
    nearest_face = np.full(height * width, -1, np.int32)
    nearest_face[pixel[visible]] = drawn[face[visible]]
    return nearest_face.reshape(height, width)


def _runs(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For consecutive runs of the given lengths (negative counts as 0): each element's run, and its position in it."""
    lengths = lengths.clip(0)
    run = np.repeat(np.arange(len(lengths)), lengths)
    return run, np.arange(len(run)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
