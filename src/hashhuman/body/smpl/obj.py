"""Reads texture coordinates from a Wavefront .obj file such as SMPL's `smpl_uv.obj`."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from hashhuman.body.smpl.arrays import checked_uv
from hashhuman.errors import UserError


def read_uv(path: Path, vertices: int) -> Float[np.ndarray, "V 2"]:
    """One texture coordinate a vertex, in [0, 1]; at a seam, that of the last face.

    Only the lines `vt` and `f` are read; other files that it names (materials, pictures) are not opened.

    Args:
        path: the .obj file.
        vertices: V.

    Raises:
        UserError: if the file is absent or malformed, or belongs to a mesh of another number of vertices.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    coordinates, corners = [], []
    for number, line in enumerate(lines, 1):
        words = line.split()
        try:
            if words[:1] == ["vt"]:
                coordinates.append((float(words[1]), float(words[2])))
            elif words[:1] == ["f"]:
                face = [[int(index) for index in word.split("/")[:2]] for word in words[1:]]
                if any(len(corner) != 2 for corner in face):
                    raise ValueError
                corners += face
        except (ValueError, IndexError):
            raise UserError(f"{path}, line {number}: {line[:40]!r} has no texture coordinates.") from None
    if not coordinates or not corners:
        raise UserError(f"{path} holds no texture coordinates (lines vt, and f with vertex/texture).")
    vertex, texture = np.array(corners).T - 1
    given = np.unique(vertex)
    if not np.array_equal(given, np.arange(vertices)) or texture.min() < 0 or texture.max() >= len(coordinates):
        raise UserError(f"{path} is not of this body: its faces must name all {vertices} vertices and no others.")
    uv = np.zeros((vertices, 2), np.float32)
    uv[vertex] = np.array(coordinates)[texture]
    if not np.isfinite(uv).all():
        raise UserError(f"{path} holds texture coordinates that are not finite.")
    return checked_uv(uv, path)
