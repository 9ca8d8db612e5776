"""Normals and areas of triangle meshes, as pure functions. Seen from outside, faces are counter-clockwise."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def face_normals(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "F 3"]:
    """Outward normals, each as long as twice the face's area (square metres)."""
    a, b, c = vertices[faces].unbind(1)
    return torch.linalg.cross(b - a, c - a)


def vertex_normals(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "V 3"]:
    """Outward normals: sums of the normals of the faces around each vertex, weighted by area; not of unit length."""
    normals = torch.zeros_like(vertices)
    return normals.index_add(0, faces.flatten(), face_normals(vertices, faces).repeat_interleave(3, 0))


def vertex_areas(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "V"]:
    """A third of the area of the faces around each vertex (square metres)."""
    third = face_normals(vertices, faces).norm(dim=-1) / 6
    return torch.zeros_like(vertices[:, 0]).index_add(0, faces.flatten(), third.repeat_interleave(3))
