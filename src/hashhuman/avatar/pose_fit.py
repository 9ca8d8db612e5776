"""Fits the pose of one picture, with the avatar as it is (`eval.fit_poses=true`)."""

import contextlib
import math
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.avatar.images import SceneRenderer
from hashhuman.avatar.scene import Scene
from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.geometry.camera import Camera
from hashhuman.geometry.rays import camera_rays
from hashhuman.pose.table import RefinedPoses

REFRESH_EVERY = 20  # steps between two indices of the space around the body
MARGIN = 0.1  # of the mask's box on all sides, from which rays beside the person are drawn
MASK_WEIGHT = 0.1  # of the opacity's error against the colour's


@runtime_checkable
class PosedRenderer(SceneRenderer, Protocol):
    """A renderer of bodies that can be posed in other ways than by `BodyPose`s."""

    template: BodyTemplate

    def scene(self, poses: list[BodyPose], time: list[int] | None = None) -> Scene:
        """Poses the body and indexes the space around it."""
        ...


def fit_pose(
    renderer: PosedRenderer,
    camera: Camera,
    image: Float[Tensor, "H W 3"],
    mask: Float[Tensor, "H W"],
    pose: BodyPose,
    steps: int,
    n_rays: int,
    lr: float,
    transl_lr: float,
    distance_weight: float,
) -> BodyPose:
    """The pose near `pose` in which the avatar looks most like a picture. Nothing of the avatar is changed.

    Args:
        renderer: the avatar.
        camera, image, mask: a view; RGB in [0, 1] with the person on black, and the person's coverage.
        pose: where to start.
        steps: Adam's steps; the learning rate falls as a cosine.
        n_rays: rays of a step; half of them on the person, half in the box around it.
        lr: learning rate of joint rotations (radians).
        transl_lr: learning rate of the translation (m).
        distance_weight: weight of the mean squared change of the pose.
    """
    device = renderer.device
    table = RefinedPoses(1, len(renderer.template.joints), lr, transl_lr, 0, 1, None, steps + 1, 1.0).to(device)
    table.start(renderer.template.to(device), [pose], [0])
    rays, image, mask = camera_rays(camera, device), image.to(device).flatten(0, 1), mask.to(device)
    on_person, around = _pools(mask)
    mask = mask.flatten()
    optimizer = torch.optim.Adam([{"params": [table.rotation]}, {"params": [table.transl], "lr": transl_lr}], lr)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / steps))
    pelvis = renderer.template.joints[0]
    base = renderer.scene([pose])
    with _frozen(renderer), torch.enable_grad():
        for step in range(steps):
            if step % REFRESH_EVERY == 0:
                index = renderer.scene([table.corrected(pose, 0, pelvis)]).index
            pixels = torch.cat([_drawn(pool, n_rays // 2) for pool in (on_person, around)])
            bodies, _ = table.bodies(base.bodies)
            rendering = renderer.render_rays(rays[pixels], Scene(bodies, index), jitter=True).rendering
            background = torch.rand(len(pixels), 3, device=device)
            truth = image[pixels] + (1 - mask[pixels, None]) * background
            error = rendering.color + (1 - rendering.alpha[:, None]) * background - truth
            loss = error.square().mean() + MASK_WEIGHT * (rendering.alpha - mask[pixels]).square().mean()
            loss = loss + distance_weight * (table.rotation.square().mean() + table.transl.square().mean())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
    return table.corrected(pose, 0, pelvis)


def _pools(mask: Float[Tensor, "H W"]) -> tuple[Int[Tensor, "N"], Int[Tensor, "M"]]:
    """Positions of the person's pixels, and of those of the box around it, in the flattened picture."""
    rows, columns = (mask > 0).any(1).nonzero()[:, 0], (mask > 0).any(0).nonzero()[:, 0]
    margin = int(MARGIN * max(len(rows), len(columns))) + 1
    box = torch.zeros_like(mask, dtype=torch.bool)
    low, left = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
    box[low : int(rows[-1]) + margin + 1, left : int(columns[-1]) + margin + 1] = True
    return (mask > 0).flatten().nonzero()[:, 0], box.flatten().nonzero()[:, 0]


def _drawn(pool: Int[Tensor, "N"], count: int) -> Int[Tensor, "count"]:
    return pool[torch.randint(len(pool), (count,), device=pool.device)]


@contextlib.contextmanager
def _frozen(renderer: SceneRenderer) -> Iterator[None]:
    """Context in which the avatar's parameters have no gradients."""
    learned = [parameter for parameter in renderer.parameters() if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
