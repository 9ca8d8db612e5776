"""Training and rendering in small: every kernel that they launch, once, for `precompiled`."""

import contextlib

import torch

from hashhuman.avatar.model import Avatar
from hashhuman.body.template import BodyPose
from hashhuman.geometry.rays import Rays
from hashhuman.gpu.backend import chosen
from hashhuman.gpu.capacity import RayCapacity
from hashhuman.gpu.part_rows import GRANULE
from hashhuman.gpu.precompile import precompiled
from hashhuman.neighbors.grid import GridNeighbors
from hashhuman.renderer.shell_sampler import EVERYTHING


def prepared(avatar: Avatar) -> contextlib.AbstractContextManager[None]:
    """While this is entered, an avatar on a GPU finds its kernels compiled, or being compiled."""
    if avatar.device.type != "cuda" or not chosen(avatar.kernels, avatar.device):
        return contextlib.nullcontext()
    return precompiled(lambda: warm_up(avatar))


def warm_up(avatar: Avatar) -> None:
    """Poses the body, takes a training step without its update, and renders the two rounds of a picture.

    With `neighbors` other than grid it only poses. Kernels need not run. It leaves no trace: no gradients, and random
    numbers as they would have been.
    """
    device, n_parts, rays = avatar.device, len(avatar.part_points), 32
    nowhere = torch.zeros(3)
    pose = BodyPose(torch.zeros(len(avatar.template.joints), 3), nowhere, nowhere)
    ahead = torch.tensor([[0.0, 0.0, 1.0]], device=device).repeat(rays, 1)
    some = Rays(torch.zeros_like(ahead), ahead, torch.zeros(rays, dtype=torch.long, device=device))
    capacity = RayCapacity(n_parts * GRANULE, (GRANULE,) * n_parts)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        stage = avatar.stage([pose], [0])
        if not isinstance(stage.neighbors, GridNeighbors):
            return
        seen = avatar(some, stage, jitter=True, capacity=capacity)[0]
        (seen.color.sum() + seen.alpha.sum() + seen.depth.sum() + seen.weights.sum()).backward()
        avatar.zero_grad(set_to_none=True)
        with torch.no_grad():
            avatar(some, stage, capacity=capacity, stretch=(0, 1))
            left = torch.ones(rays, dtype=torch.bool, device=device)
            avatar(some, stage, capacity=capacity, only=left, stretch=(1, EVERYTHING))
