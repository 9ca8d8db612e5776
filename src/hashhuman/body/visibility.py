"""Finds the body's vertices that a camera sees, with a depth buffer of points sampled on the faces.

It measures how much of a person no training frame shows, for which an error of a few per cent does not matter.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.body.surface import vertex_areas, vertex_normals
from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera
from hashhuman.io import threads

T = TypeVar("T")
R = TypeVar("R")
BODY_PIXELS = 128  # pixels of the buffer along the body's longer side, each about 1.4 cm for an adult
SPLITS = (2, 4, 12)  # intervals along a face's side: at least one more than it is long (pixels), or the most there are
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
    longest = (corners[..., :2] - corners.roll(1, 1)[..., :2]).norm(dim=-1).amax(1) * scale
    points = torch.cat([_sampled(some, splits) for some, splits in _by_size(corners, longest)])

    def cell(xy: Tensor) -> Tensor:
        column, row = ((xy - low) * scale).round().long().clamp(0, BODY_PIXELS).unbind(-1)
        return row * (BODY_PIXELS + 1) + column

    depth = torch.full(((BODY_PIXELS + 1) ** 2,), torch.inf, device=vertices.device)
    depth = depth.scatter_reduce(0, cell(points[:, :2]), points[:, 2], "amin")
    return in_picture & facing & (projected[:, 2] <= depth[cell(projected[:, :2])] + TOLERANCE)


def seen_vertices(template: BodyTemplate, views: Iterable[tuple[Camera, BodyPose]]) -> Bool[Tensor, "V"]:
    """Whether at least one view, a camera and a pose, sees each vertex; on the template's device."""
    return times_seen(template, views) > 0


def times_seen(template: BodyTemplate, views: Iterable[tuple[Camera, BodyPose]]) -> Int[Tensor, "V"]:
    """How many views, each a camera and a pose, see each vertex; on the template's device."""
    device = template.vertices.device

    def of(view: tuple[Camera, BodyPose]) -> Tensor:
        camera, pose = view[0].to(device), view[1].to(device)
        return visible_vertices(world_vertices(template, pose), template.faces, camera)

    times = torch.zeros(len(template.vertices), dtype=torch.long, device=device)
    for visible in _each(of, views, device):
        times += visible
    return times


def unseen_fractions(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], cameras: Iterable[Camera], seen: Bool[Tensor, "V"]
) -> list[float]:
    """The share, by area, of the surface visible from each camera that is not in `seen`; 0 if nothing is visible.

    `vertices` are in the world (m); `seen` is what `seen_vertices` returned.
    """
    areas = vertex_areas(vertices, faces)

    def of(camera: Camera) -> float:
        area = areas * visible_vertices(vertices, faces, camera)
        total = area.sum()
        return float((area * ~seen).sum() / total) if total > 0 else 0.0

    return list(_each(of, cameras, vertices.device))


def _each(function: Callable[[T], R], items: Iterable[T], device: torch.device) -> Iterable[R]:
    """`map(function, items)`, on all cores if it computes on the CPU."""
    return threads.ordered(function, items) if device.type == "cpu" else map(function, items)


def _by_size(
    corners: Float[Tensor, "F 3 3"], longest: Float[Tensor, "F"]
) -> Iterator[tuple[Float[Tensor, "_ 3 3"], int]]:
    """The faces in groups, each with its `SPLITS`; most faces are small, and need few points."""
    low = 0.0
    for splits in SPLITS:
        high = torch.inf if splits == SPLITS[-1] else splits - 1
        yield corners[(longest >= low) & (longest < high)], splits
        low = high


def _sampled(corners: Float[Tensor, "F 3 3"], splits: int) -> Float[Tensor, "N 3"]:
    """Points at the nodes of a triangular grid over each face, with `splits` intervals along each side."""
    i, j = torch.meshgrid(*[torch.arange(splits + 1, device=corners.device)] * 2, indexing="ij")
    inside = i + j <= splits
    weights = torch.stack([i[inside], j[inside], splits - i[inside] - j[inside]], -1) / splits
    axes = corners.mT.flatten(0, 1) @ weights.to(corners.dtype).T  # one product, instead of one for each face
    return axes.unflatten(0, (-1, 3)).mT.flatten(0, 1)
