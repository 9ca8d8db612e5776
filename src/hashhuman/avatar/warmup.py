"""Trains and renders on small inputs, which launches every kernel of a run once, for `gpu/precompile.py`."""

from collections.abc import Callable

import torch

from hashhuman.avatar.images import SceneRenderer
from hashhuman.avatar.scene import Scene
from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.body.template import BodyPose
from hashhuman.geometry.rays import Rays
from hashhuman.gpu.capacity import RayCapacity
from hashhuman.gpu.part_rows import GRANULE
from hashhuman.neighbors.grid import GridNeighbors
from hashhuman.renderer.shell_sampler import ALL_BINS


def warm_up(
    renderer: SceneRenderer, n_joints: int, n_parts: int, miniature: Callable[[PosedBodies], PosedBodies]
) -> None:
    """Poses the body, takes a training step without its update, and renders the two rounds of a picture.

    Only poses the body unless `neighbors=grid`. Works in a dry run, too, in which kernels do nothing. Gradients and the
    random state are left as they were before.

    Args:
        renderer: the avatar.
        n_joints: J.
        n_parts: P.
        miniature: poses a body again as a training step does, with gradients if poses are refined.
    """
    device, n_rays = renderer.device, 32
    origin = torch.zeros(3)
    ahead = torch.tensor([[0.0, 0.0, 1.0]], device=device).repeat(n_rays, 1)
    rays = Rays(torch.zeros_like(ahead), ahead, torch.zeros(n_rays, dtype=torch.long, device=device))
    capacity = RayCapacity(n_parts * GRANULE, (GRANULE,) * n_parts)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        scene, _ = renderer.measured_scene([BodyPose(torch.zeros(n_joints, 3), origin, origin)], [0])
        if not isinstance(scene.index.neighbors, GridNeighbors):
            return
        posed = Scene(miniature(scene.bodies), scene.index)
        seen = renderer.render_rays(rays, posed, jitter=True, capacity=capacity).rendering
        (seen.color.sum() + seen.alpha.sum() + seen.depth.sum() + seen.weights.sum()).backward()
        for parameter in renderer.parameters():
            parameter.grad = None
        with torch.no_grad():
            renderer.render_rays(rays, scene, capacity=capacity, bins=(0, 1))
            every = torch.ones(n_rays, dtype=torch.bool, device=device)
            renderer.render_rays(rays, scene, capacity=capacity, ray_mask=every, bins=(1, ALL_BINS[1]))
