"""Two upright pillars as a body, mirror images of each other, and pictures of a dressed one, all computed by hand."""

import dataclasses
import math

import numpy as np
import torch

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.data.pixels import Crops
from hashhuman.geometry.camera import Camera

RADIUS, APART, HEIGHT = 0.1, 0.4, 0.3  # metres; the axes are at x = -APART and x = APART
SIZE, FOCAL, DISTANCE = 200, 400.0, 4.0


def body(n_frames: int = 1, apart: float = APART) -> PosedBodies:
    """A ring of 24 points on each of 13 levels of each pillar, at rest in the world's origin in every frame."""
    angle = torch.arange(24) * 2 * math.pi / 24
    ring = torch.stack([angle.cos(), torch.zeros(24), angle.sin()], 1)
    levels = torch.linspace(-HEIGHT, HEIGHT, 13)
    up = torch.tensor([0.0, 1.0, 0.0])
    pillar = (RADIUS * ring + levels[:, None, None] * up).flatten(0, 1)
    aside = torch.tensor([apart, 0.0, 0.0])
    points = torch.cat([pillar + aside, pillar * torch.tensor([-1.0, 1.0, 1.0]) - aside])
    normals = torch.cat([ring.repeat(13, 1), ring.repeat(13, 1) * torch.tensor([-1.0, 1.0, 1.0])])
    maps = torch.eye(4)[:3].expand(n_frames, len(points), 3, 4)
    return PosedBodies(
        world_from_posed=torch.eye(4).expand(n_frames, 4, 4),
        canonical_from_posed=maps,
        vertices=points.expand(n_frames, -1, 3),
        canonical_vertices=points,
        canonical_normals=normals,
        uv=None,
        time=torch.arange(n_frames),
    )


def camera(turn: float) -> Camera:
    """A camera that looks at the origin horizontally, `turn` radians around it."""
    back = torch.tensor([math.sin(turn), 0.0, math.cos(turn)])
    right = torch.tensor([math.cos(turn), 0.0, -math.sin(turn)])
    R = torch.stack([right, torch.tensor([0.0, -1.0, 0.0]), -back])
    K = torch.tensor([[FOCAL, 0, SIZE / 2 - 0.5], [0, FOCAL, SIZE / 2 - 0.5], [0, 0, 1.0]])
    return Camera(K, R, -R @ (DISTANCE * back), SIZE, SIZE)


def columns(radius: float) -> float:
    """Half the width (pixels) of an upright pillar of this radius (m) in the origin, in every camera."""
    return FOCAL * math.tan(math.asin(radius / DISTANCE))


def crops(half_widths: list[float]) -> Crops:
    """Whole pictures of a pillar in the origin, `half_widths` pixels wide to each side."""
    x = np.arange(SIZE) - (SIZE / 2 - 0.5)
    masks = [np.tile(np.abs(x) <= half, (SIZE, 1)) for half in half_widths]
    mask = np.concatenate([np.where(one, 255, 0).astype(np.uint8).ravel() for one in masks])
    count = len(half_widths)
    return Crops(
        color=np.zeros((len(mask), 3), np.uint8),
        mask=mask,
        around=np.ones(len(mask), bool),
        part=np.full(len(mask), 255, np.uint8),
        corner=np.zeros((count, 2), int),
        size=np.full((count, 2), SIZE),
    )


def moved(view: Camera, aside: torch.Tensor) -> Camera:
    """The camera at a place `aside` (m) of its own."""
    return dataclasses.replace(view, T=view.T - view.R @ aside)
