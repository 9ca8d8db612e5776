"""Cameras around a body."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.geometry.camera import Camera

FIELD_OF_VIEW = 30.0  # degrees; small, so that limbs near the camera keep their proportions


def orbit(
    vertices: Float[Tensor, "V 3"], up: Float[Tensor, "3"], toward: Float[Tensor, "3"], count: int, height: int,
    margin: float = 1.1, widest: float | None = None,
) -> list[Camera]:  # fmt: skip
    """Makes `count` horizontal cameras at equal angles around a body, which fills all pictures at the same scale.

    Args:
        vertices: the body's vertices (m, world).
        up: axis of the orbit (unit, world), which points up in the pictures.
        toward: direction from the body to the first camera (world); its component along `up` is ignored. The cameras
            follow each other counter-clockwise, seen from above.
        count: number of cameras.
        height: height of the pictures (pixels); their width, an even number, follows from the body's width.
        margin: ratio of the picture to the body, for hair and clothes.
        widest: greatest ratio of a picture's width to its height, for which a wide body is shown smaller; None: any.
    """
    center = (vertices.amin(0) + vertices.amax(0)) / 2
    away = toward - (toward @ up) * up
    if away.norm() < 1e-6:  # the camera is straight above: choose any side
        away = torch.linalg.cross(up, torch.eye(3, device=up.device)[up.abs().argmin()])
    away = away / away.norm()
    side = torch.linalg.cross(up, away)
    relative = vertices - center
    axial = relative @ up
    center = center + up * (axial.amax() + axial.amin()) / 2
    relative = vertices - center
    half_height = float((relative @ up).abs().max()) * margin
    half_width = float((relative - (relative @ up)[:, None] * up).norm(dim=-1).max()) * margin
    if widest is not None:
        half_height = max(half_height, half_width / widest)
    focal = height / 2 / math.tan(math.radians(FIELD_OF_VIEW / 2))
    # The near side of the body is half its width closer than its axis, and must fit into the picture there.
    distance = half_height * 2 * focal / height + half_width
    width = 2 * math.ceil(half_width * focal / (distance - half_width))
    cameras = []
    for i in range(count):
        angle = 2 * math.pi * i / count
        back = math.cos(angle) * away + math.sin(angle) * side
        position = center + distance * back
        R = torch.stack([torch.linalg.cross(up, back), -up, -back])
        K = torch.tensor([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]], device=up.device)
        cameras.append(Camera(K, R, -R @ position, height, width))
    return cameras
