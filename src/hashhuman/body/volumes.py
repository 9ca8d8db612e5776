"""Volumes around a body: grids whose nodes hold attributes of the nearest point on the body's surface.

A volume is indexed (x, y, z, channel). Node (i, j, k) lies at origin + step (i, j, k). Sample it by origin and step,
not by the body's box, since the grid extends beyond the box. As in ZJU-MoCap, the grid starts `pad` below the body's
minimum.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

STEP = 0.025  # metres between nodes, as in ZJU-MoCap
PAD = 0.05  # metres from the body's minimum to the first node

Vertices: TypeAlias = Float[np.ndarray, "V 3"]
Faces: TypeAlias = Int[np.ndarray, "F 3"]
# (points N 3, vertices, faces) -> vertex indices (N, K), weights that sum to one (N, K), distances (N) in metres
ClosestPoints: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def nearest_vertices(
    points: Float[np.ndarray, "N 3"], vertices: Vertices, faces: Faces
) -> tuple[Int[np.ndarray, "N 1"], Float[np.ndarray, "N 1"], Float[np.ndarray, "N"]]:
    """The nearest vertex of each point, its weight (1), and the distance to it (m): a `ClosestPoints`."""
    from scipy.spatial import KDTree  # the import takes a third of a second, and few readers of a subject need it

    distance, index = KDTree(vertices).query(points)
    return np.asarray(index)[:, None], np.ones((len(points), 1)), distance


def grid_nodes(vertices: Vertices, step: float = STEP, pad: float = PAD) -> Float[np.ndarray, "X Y Z 3"]:
    """Positions of the nodes (m): from the body's minimum - pad until at least its maximum + pad."""
    low, high = vertices.min(0) - pad, vertices.max(0) + pad
    axes = [np.arange(low[k], high[k] + step, step) for k in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1)


def surface_volume(
    vertices: Vertices,
    faces: Faces,
    attributes: Float[np.ndarray, "V C"],
    step: float = STEP,
    pad: float = PAD,
    closest: ClosestPoints = nearest_vertices,
) -> tuple[Float[np.ndarray, "X Y Z C"], Float[np.ndarray, "X Y Z"]]:
    """Attributes of the closest surface point at every node, and the distance to it (m); both float32.

    Args:
        vertices: the body's vertices (m).
        faces: their triangles.
        attributes: C numbers at each vertex.
        step: between nodes (m).
        pad: from the body to the border (m).
        closest: finds the closest surface points.
    """
    nodes = grid_nodes(vertices, step, pad)
    index, weight, distance = closest(nodes.reshape(-1, 3), vertices, faces)
    values = np.einsum("nk,nkc->nc", weight, attributes[index])
    shape = nodes.shape[:3]
    return values.reshape(*shape, -1).astype(np.float32), distance.reshape(shape).astype(np.float32)


def blend_weight_volume(
    vertices: Vertices,
    faces: Faces,
    weights: Float[np.ndarray, "V J"],
    step: float = STEP,
    pad: float = PAD,
    closest: ClosestPoints = nearest_vertices,
) -> tuple[Float[np.ndarray, "X Y Z J1"], Float[np.ndarray, "3"], float]:
    """The volume of skinning weights, with the distance to the body (m) as last channel; its origin (m); its step (m).

    Arguments are as for `surface_volume`.
    """
    values, distance = surface_volume(vertices, faces, weights, step, pad, closest)
    return np.concatenate([values, distance[..., None]], -1), volume_origin(vertices, pad), step


def uv_volume(
    vertices: Vertices,
    faces: Faces,
    uv: Float[np.ndarray, "V 2"],
    step: float = STEP,
    pad: float = PAD,
    closest: ClosestPoints = nearest_vertices,
) -> Float[np.ndarray, "X Y Z 2"]:
    """The volume of texture coordinates. Arguments are as for `surface_volume`."""
    return surface_volume(vertices, faces, uv, step, pad, closest)[0]


def volume_origin(vertices: Vertices, pad: float = PAD) -> Float[np.ndarray, "3"]:
    """Position of node (0, 0, 0) (m), float32."""
    return (vertices.min(0) - pad).astype(np.float32)


def sample_volume(
    volume: Float[Tensor, "X Y Z C"], origin: Float[Tensor, "3"], step: float, points: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch C"]:
    """Interpolates a volume trilinearly at points (m). A point outside takes the value at the nearest border point."""
    shape = torch.tensor(volume.shape[:3], device=points.device)
    unit = 2 * (points - origin) / (step * (shape - 1)) - 1
    grid = unit.flip(-1).reshape(1, -1, 1, 1, 3)  # grid_sample wants the last axis first
    field = volume.permute(3, 0, 1, 2)[None]
    found = functional.grid_sample(field, grid, align_corners=True, padding_mode="border")
    return found[0, :, :, 0, 0].T.reshape(*points.shape[:-1], -1)


def vertex_values(
    volume: Float[np.ndarray, "X Y Z C"], origin: Float[np.ndarray, "3"], step: float, vertices: Vertices
) -> Float[np.ndarray, "V C"]:
    """Values of the nodes nearest to the vertices (m).

    Nothing is interpolated, since texture coordinates are discontinuous at seams.
    """
    node = np.rint((vertices - origin) / step).astype(int).clip(0, np.array(volume.shape[:3]) - 1)
    return volume[tuple(node.T)]


def front_back_uv(vertices: Vertices, faces: Faces) -> Float[np.ndarray, "V 2"]:
    """Texture coordinates for a body that has none: the front view in the left half, the back view in the right half.

    `vertices` (m) face +z. The seam is the silhouette of the front view.
    """
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normal = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(normal, faces[:, k], np.cross(b - a, c - a))
    low, size = vertices.min(0), np.ptp(vertices, axis=0)
    u, v = ((vertices - low) / size)[:, :2].T
    return np.stack([np.where(normal[:, 2] >= 0, 0.5 * u, 1 - 0.5 * u), v], 1).astype(np.float32)
