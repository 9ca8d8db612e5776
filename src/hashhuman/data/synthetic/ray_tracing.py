"""Pictures of capsules, by ray tracing in closed form."""

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from hashhuman.body.template import SMPL_JOINTS
from hashhuman.data.synthetic.mannequin import Capsule
from hashhuman.data.synthetic.wardrobe import Wardrobe
from hashhuman.geometry.camera import Camera

# Unit vector to the light in the world (y up).
_LIGHT = np.array([0.4, 0.7, 0.6]) / np.linalg.norm([0.4, 0.7, 0.6])


def intersect(
    rays_o: Float[np.ndarray, "N 3"],
    rays_d: Float[np.ndarray, "N 3"],
    start: Float[np.ndarray, "3"],
    end: Float[np.ndarray, "3"],
    radius: float,
) -> Float[np.ndarray, "N"]:
    """Distances (m) along rays to the surface of the capsule around the segment `start`-`end`; infinite for misses.

    `rays_d` is unit; origins lie outside the capsule. A ray meets the infinite cylinder where a quadratic in the
    distance vanishes. If that point lies beyond an end of the segment, the ray can only meet the sphere at that end.
    """
    axis = end - start
    length = np.linalg.norm(axis)
    axis = axis / length
    offset = rays_o - start
    d, o = rays_d @ axis, offset @ axis
    a = 1 - d * d
    b = np.einsum("nk,nk->n", rays_d, offset) - d * o
    c = np.einsum("nk,nk->n", offset, offset) - o * o - radius**2
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (-b - np.sqrt(b * b - a * c)) / a
        height = o + t * d
    side = (height >= 0) & (height <= length)
    result = np.where(side & (t > 0), t, np.inf)
    for centre in (start, end):
        away = rays_o - centre
        half = np.einsum("nk,nk->n", rays_d, away)
        with np.errstate(invalid="ignore"):
            t = -half - np.sqrt(half * half - np.einsum("nk,nk->n", away, away) + radius**2)
        beyond = (o + t * d < 0) if centre is start else (o + t * d > length)
        result = np.minimum(result, np.where(beyond & (t > 0), t, np.inf))
    return result


def render(
    capsules: list[Capsule],
    wardrobe: Wardrobe,
    world_from_rest: Float[np.ndarray, "24 4 4"],
    camera: Camera,
    supersample: int = 2,
) -> tuple[UInt8[np.ndarray, "H W 3"], Float[np.ndarray, "H W"], Int[np.ndarray, "H W"]]:
    """Renders the capsules over black.

    The light is ambient light and one distant light from above and in front. Each pixel is the mean of supersample^2
    rays.

    Args:
        capsules: the body at rest.
        wardrobe: its colours.
        world_from_rest: each joint's rigid transform (m).
        camera: the view.
        supersample: rays along each side of a pixel.

    Returns:
        The picture (RGB), the coverage in [0, 1], and the index of the capsule at each pixel's centre (-1: none).
    """
    height, width = camera.height, camera.width
    offset = (np.arange(supersample) + 0.5) / supersample - 0.5
    x = (np.arange(width)[:, None] + offset).ravel()
    y = (np.arange(height)[:, None] + offset).ravel()
    pixels = torch.from_numpy(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)).float()
    rays_o, rays_d = (rays.double().numpy() for rays in camera.rays(pixels))

    depth, seen = np.full(len(pixels), np.inf), np.full(len(pixels), -1)
    for index, capsule in enumerate(capsules):
        move = world_from_rest[SMPL_JOINTS.index(capsule.joint)]
        start, end = (move[:3, :3] @ np.array(p) + move[:3, 3] for p in (capsule.start, capsule.end))
        near = _around(camera, np.stack([start, end]), capsule.radius, x, y)
        hit = intersect(rays_o[near], rays_d[near], start, end, capsule.radius)
        closer = near[hit < depth[near]]
        depth[closer], seen[closer] = hit[hit < depth[near]], index

    colour = np.zeros((len(pixels), 3))
    for index in np.unique(seen[seen >= 0]):
        rows, capsule = np.flatnonzero(seen == index), capsules[index]
        move = world_from_rest[SMPL_JOINTS.index(capsule.joint)]
        point = rays_o[rows] + depth[rows, None] * rays_d[rows]
        rest = (point - move[:3, 3]) @ move[:3, :3]
        axis = np.subtract(capsule.end, capsule.start)
        along = np.clip((rest - capsule.start) @ axis / (axis @ axis), 0, 1)
        normal = (rest - capsule.start - along[:, None] * axis) / capsule.radius @ move[:3, :3].T
        shade = 0.65 + 0.35 * np.clip(normal @ _LIGHT, 0, 1)
        colour[rows] = wardrobe.colours(capsule.cloth, rest) * shade[:, None]

    blocks = (height, supersample, width, supersample)
    image = colour.reshape(*blocks, 3).mean((1, 3))
    coverage = (seen >= 0).reshape(blocks).mean((1, 3)).astype(np.float32)
    centre = seen.reshape(blocks)[:, supersample // 2, :, supersample // 2]
    return np.rint(image * 255).astype(np.uint8), coverage, centre


def _around(
    camera: Camera,
    segment: Float[np.ndarray, "2 3"],
    radius: float,
    x: Float[np.ndarray, "W"],
    y: Float[np.ndarray, "H"],
) -> Int[np.ndarray, "M"]:
    """Row numbers of the rays that can touch a capsule. Rays form a grid over ascending `x` and `y` (pixels)."""
    ends = camera.project(torch.from_numpy(segment).float()).numpy()
    reach = 1.5 * radius * float(camera.K[0, 0]) / ends[:, 2].min()  # wider than the silhouette in perspective
    left, top = ends[:, :2].min(0) - reach
    right, bottom = ends[:, :2].max(0) + reach
    columns = np.arange(*np.searchsorted(x, (left, right)))
    rows = np.arange(*np.searchsorted(y, (top, bottom)))
    return (rows[:, None] * len(x) + columns).ravel()
