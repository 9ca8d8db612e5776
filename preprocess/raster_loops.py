"""Draws faces in a loop for the CPU: one pass over the pixels of each."""

import numpy as np

from hashhuman.cpu.loops import compiled

_EDGE = 1e-9  # pixels: an edge belongs to both of its faces, so that rounding leaves no gap between them


@compiled
def draw(vertices, faces, nearest, drawn):
    """Writes the faces, and their inverse depths (1/m), where nothing nearer has been written.

    Args:
        vertices: pixel x, pixel y and depth (m), float64 (V, 3).
        faces: int64 (F, 3).
        nearest: inverse depths, at first 0, float64 (H, W).
        drawn: faces, at first -1, int32 (H, W).
    """
    height, width = drawn.shape
    along_x, along_y, start_x, start_y = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for face in range(len(faces)):
        for k in range(3):
            a, b = vertices[faces[face, (k + 1) % 3]], vertices[faces[face, (k + 2) % 3]]
            start_x[k], start_y[k] = a[0], a[1]
            along_x[k], along_y[k] = a[1] - b[1], b[0] - a[0]  # across the edge opposite corner k
        area = along_x[0] * along_y[1] - along_y[0] * along_x[1]
        first, second, third = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        if not (first[2] > 0 and second[2] > 0 and third[2] > 0 and np.isfinite(area) and area != 0):
            continue
        # Barycentric coordinate k of a pixel is (x - start_x) along_x + (y - start_y) along_y.
        depth_x = depth_y = 0.0
        for k in range(3):
            along_x[k] /= area
            along_y[k] /= area
            depth_x += along_x[k] / vertices[faces[face, k], 2]
            depth_y += along_y[k] / vertices[faces[face, k], 2]
        top = np.ceil(max(min(first[1], second[1], third[1]) - _EDGE, 0.0))
        bottom = np.floor(min(max(first[1], second[1], third[1]) + _EDGE, height - 1.0))
        if not top <= bottom:
            continue
        for y in range(int(top), int(bottom) + 1):
            left, right = -_EDGE, width - 1 + _EDGE
            for k in range(3):
                offset = (y - start_y[k]) * along_y[k]
                if along_x[k] > 0:
                    left = max(left, start_x[k] - offset / along_x[k] - _EDGE)
                elif along_x[k] < 0:
                    right = min(right, start_x[k] - offset / along_x[k] + _EDGE)
                elif offset < -_EDGE:
                    right = -1.0
            left, right = np.ceil(left), np.floor(right)
            if not left <= right:
                continue
            depth = 1 / first[2] + (left - first[0]) * depth_x + (y - first[1]) * depth_y
            for x in range(int(left), int(right) + 1):
                inverse = depth + (x - left) * depth_x
                if inverse >= nearest[y, x]:
                    nearest[y, x], drawn[y, x] = inverse, face
