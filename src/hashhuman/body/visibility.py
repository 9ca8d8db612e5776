"""Finds the body's vertices that a camera sees, with a depth buffer of points sampled on the faces.

It measures how much of a person no training frame shows, for which an error of a few per cent does not matter.
"""

import math
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.body.surface import vertex_areas, vertex_normals
from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera

BODY_PIXELS = 128  # pixels of the buffer along the body's longer side, each about 1.4 cm for an adult
MOST_SPLITS = 12  # at most so many intervals along a face's side; more make a finer point grid with fewer holes
TOLERANCE = 0.03  # a vertex at most so far (m) behind the buffer still counts as visible


def world_vertices(template: BodyTemplate, pose: BodyPose) -> Float[Tensor, "V 3"]:
    """The vertices of a posed body in the world (m)."""
    return skinning.transform(pose.world_from_posed(), template.pose_vertices(pose.body_pose))


def visible_vertices(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], camera: Camera) -> Bool[Tensor, "V"]:
    """Whether each vertex lies in the picture, faces the camera and is not occluded. Vertices are in the world (m)."""
    projected = camera.project(vertices)
    in_picture = (
        (projected[:, 0] > -0.5) & (projected[:, 0] < camera.width - 0.5)
        & (projected[:, 1] > -0.5) & (projected[:, 1] < camera.height - 0.5) & (projected[:, 2] > 0)
    )  # fmt: skip
    facing = ((camera.center - vertices) * vertex_normals(vertices, faces)).sum(-1) > 0
    corners = projected[faces]  # F 3 3
    corners = corners[(corners[..., 2] > 0).all(1)]
    if not len(corners):
        return torch.zeros_like(in_picture)
    low = corners[..., :2].amin((0, 1))
    scale = BODY_PIXELS / (corners[..., :2].amax((0, 1)) - low).amax().clamp_min(1e-6)
    longest = (corners[..., :2] - corners.roll(1, 1)[..., :2]).norm(dim=-1).max() * scale
    splits = min(math.ceil(float(longest)) + 1, MOST_SPLITS)

    def cell(xy: Tensor) -> Tensor:
        column, row = ((xy - low) * scale).round().long().clamp(0, BODY_PIXELS).unbind(-1)
        return row * (BODY_PIXELS + 1) + column

    if vertices.device.type == "cpu":
        from hashhuman.body import depth_loops

        depth = depth_loops.nearest(corners, low, scale, splits, BODY_PIXELS)
    else:
        points = _sampled(corners, splits)
        depth = torch.full(((BODY_PIXELS + 1) ** 2,), torch.inf, device=vertices.device)
        depth = depth.scatter_reduce(0, cell(points[:, :2]), points[:, 2], "amin")
    return in_picture & facing & (projected[:, 2] <= depth[cell(projected[:, :2])] + TOLERANCE)


def seen_vertices(template: BodyTemplate, views: Iterable[tuple[Camera, BodyPose]]) -> Bool[Tensor, "V"]:
    """Whether at least one view, a camera and a pose, sees each vertex; on the template's device."""
    seen = torch.zeros(len(template.vertices), dtype=torch.bool, device=template.vertices.device)
    for camera, pose in views:
        camera, pose = camera.to(seen.device), pose.to(seen.device)
        seen |= visible_vertices(world_vertices(template, pose), template.faces, camera)
    return seen


def unseen_fraction(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], camera: Camera, seen: Bool[Tensor, "V"]
) -> float:
    """The share, by area, of the surface visible from `camera` that is not in `seen`; 0 if nothing is visible.

    `vertices` are in the world (m); `seen` is what `seen_vertices` returned.
    """
    area = vertex_areas(vertices, faces) * visible_vertices(vertices, faces, camera)
    total = area.sum()
    return float((area * ~seen).sum() / total) if total > 0 else 0.0


def _sampled(corners: Float[Tensor, "F 3 3"], splits: int) -> Float[Tensor, "N 3"]:
    """Points at the nodes of a triangular grid over each face, with `splits` intervals along each side."""
    i, j = torch.meshgrid(*[torch.arange(splits + 1, device=corners.device)] * 2, indexing="ij")
    inside = i + j <= splits
    weights = torch.stack([i[inside], j[inside], splits - i[inside] - j[inside]], -1) / splits
    return (weights.to(corners.dtype) @ corners).flatten(0, 1)
