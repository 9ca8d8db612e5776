"""A z-buffer rasteriser: the nearest face of a mesh at each pixel."""

import numpy as np
from jaxtyping import Float, Int


def rasterise(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], height: int, width: int
) -> Int[np.ndarray, "{height} {width}"]:
    """The index of the nearest face at each pixel's centre (int32), -1 where there is none.

    Both sides of a face are drawn. Faces that reach behind the camera are not drawn. Depth is interpolated with
    perspective: barycentric coordinates and 1/z are affine functions of the pixel's position. It computes on one core,
    without the interpreter's lock.

    Args:
        vertices: pixel x, pixel y (pixel centres at integers) and depth along the optical axis (m), as
            `Camera.project` returns them.
        faces: indices of the vertices of each face.
        height, width: of the picture (pixels).
    """
    from preprocess.raster_loops import draw  # imports Numba, which takes half a second

    nearest, face = np.zeros((height, width)), np.full((height, width), -1, np.int32)
    draw(np.ascontiguousarray(vertices, np.float64), np.ascontiguousarray(faces, np.int64), nearest, face)
    return face
