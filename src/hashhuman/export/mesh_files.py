"""Writes the mesh, in the pose of a frame or at rest, as PLY and OBJ: formats without skeleton and clip."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from hashhuman.errors import UserError
from hashhuman.export.rigged import RiggedMesh
from hashhuman.io.files import atomic_path, write_image

VERTEX = np.dtype("<f4,<f4,<f4,<f4,<f4,<f4,u1,u1,u1")
VERTEX.names = ("x", "y", "z", "nx", "ny", "nz", "red", "green", "blue")
FACE = np.dtype([("count", "u1"), ("vertices", "<i4", 3)])


class PlyFile:
    """`avatar.ply`: vertices with normals and colours, and faces.

    Args:
        frame: position of a frame in the filmed motion, whose pose the mesh takes; None: at rest.
    """

    def __init__(self, frame: int | None) -> None:
        self.frame = frame

    def __call__(self, exports: Any, folder: Path) -> Path:
        """Writes the file and returns its path."""
        path = folder / "avatar.ply"
        with atomic_path(path) as sibling:
            sibling.write_bytes(ply(exports.mesh, in_pose(exports, self.frame, "ply")))
        return path


class ObjFile:
    """`avatar.obj`, with its material `avatar.mtl` and its texture `avatar.png` beside it.

    Args:
        frame: as for `PlyFile`.
    """

    def __init__(self, frame: int | None) -> None:
        self.frame = frame

    def __call__(self, exports: Any, folder: Path) -> Path:
        """Writes the files and returns the path of the first."""
        mesh, vertices = exports.mesh, in_pose(exports, self.frame, "obj")
        path = folder / "avatar.obj"
        write_image(folder / "avatar.png", mesh.texture)
        with atomic_path(folder / "avatar.mtl") as sibling:
            sibling.write_text("newmtl avatar\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 0\nmap_Kd avatar.png\n")
        with atomic_path(path) as sibling:
            sibling.write_text(obj(mesh, vertices))
        return path


def in_pose(exports: Any, frame: int | None, name: str) -> Float[np.ndarray, "V 3"]:
    """The mesh's vertices (m) in a frame of the motion, or at rest. Raises UserError if there is no such frame."""
    if frame is None:
        return exports.mesh.vertices
    count = len(exports.motion.times)
    if not 0 <= frame < count:
        raise UserError(
            f"export.formats.{name}.frame={frame} must lie from 0 to {count - 1}, or be null for the rest pose."
        )
    return exports.mesh.posed(exports.motion, frame)


def normals_of(vertices: np.ndarray, mesh: RiggedMesh) -> np.ndarray:
    """Outward unit normals of the vertices in this pose; doubled vertices share theirs."""
    _, same = np.unique(mesh.vertices, axis=0, return_inverse=True)
    faces = same.reshape(-1)[mesh.faces]
    a, b, c = vertices.astype(float)[mesh.faces].transpose(1, 0, 2)
    total = np.zeros((same.max() + 1, 3))
    np.add.at(total, faces.ravel(), np.repeat(np.cross(b - a, c - a), 3, axis=0))
    return (total / np.linalg.norm(total, axis=1, keepdims=True).clip(1e-12))[same.reshape(-1)]


def vertex_colors(mesh: RiggedMesh) -> UInt8[np.ndarray, "V 3"]:
    """The texture's colour at each vertex."""
    height, width = mesh.texture.shape[:2]
    column, row = (mesh.uv * [width, height]).astype(int).clip(0, [width - 1, height - 1]).T
    return mesh.texture[row, column]


def ply(mesh: RiggedMesh, vertices: Float[np.ndarray, "V 3"]) -> bytes:
    """A binary PLY file."""
    rows, faces = np.zeros(len(vertices), VERTEX), np.zeros(len(mesh.faces), FACE)
    for names, values in (("xyz", vertices), (("nx", "ny", "nz"), normals_of(vertices, mesh))):
        for name, column in zip(names, values.T):
            rows[name] = column
    for name, column in zip(("red", "green", "blue"), vertex_colors(mesh).T):
        rows[name] = column
    faces["count"], faces["vertices"] = 3, mesh.faces
    kinds = {"<f4": "float", "|u1": "uchar"}
    properties = [f"property {kinds[VERTEX[name].str]} {name}" for name in VERTEX.names or ()]
    head = [
        "ply",
        "format binary_little_endian 1.0",
        "comment metres, y up",
        f"element vertex {len(rows)}",
        *properties,
    ]
    head += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    return ("\n".join(head) + "\n").encode() + rows.tobytes() + faces.tobytes()


def obj(mesh: RiggedMesh, vertices: Float[np.ndarray, "V 3"]) -> str:
    """An OBJ file, whose texture coordinates go up from the last row of the texture."""
    lines = ["# metres, y up", "mtllib avatar.mtl", "usemtl avatar"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    lines += [f"vt {u:.6f} {1 - v:.6f}" for u, v in mesh.uv]
    lines += [f"vn {x:.5f} {y:.5f} {z:.5f}" for x, y, z in normals_of(vertices, mesh)]
    lines += ["f " + " ".join(f"{i}/{i}/{i}" for i in face) for face in mesh.faces + 1]
    return "\n".join(lines) + "\n"
