"""Pictures, rendered launch by launch."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.avatar.search_index import Stage
from hashhuman.body.template import BodyPose
from hashhuman.geometry.camera import Camera
from hashhuman.geometry.rays import Rays, camera_rays
from hashhuman.gpu.capacity import RayCapacity
from hashhuman.renderer.shell_sampler import EVERYTHING
from hashhuman.renderer.volume import Rendering

if TYPE_CHECKING:
    from hashhuman.avatar.model import Avatar

OPAQUE = 0.998  # from here on nothing behind shows: less than half a grey level of 255


@dataclasses.dataclass(frozen=True)
class RenderedImage:
    """A rendered picture over its background."""

    rgb: Float[Tensor, "H W 3"]  # in [0, 1]
    alpha: Float[Tensor, "H W"]
    depth: Float[Tensor, "H W"]  # expected distance along the ray (m); 0 where alpha is 0


class EagerImages:
    """Renders all pixels of a picture in two rounds: most rays end at the first surface, and what lies behind it is
    evaluated for the others alone.

    Args:
        avatar: what is seen.
        chunk: rays rendered at a time; bounds the memory.
        front_bins: bins (`ShellSampler`) of a ray that are rendered before those behind, for the rays that have met no
            surface by then.
    """

    def __init__(self, avatar: "Avatar", chunk: int, front_bins: int) -> None:
        self.avatar, self.chunk = avatar, chunk
        self.stretches = (0, front_bins), (front_bins, EVERYTHING)

    def __call__(self, cameras: Iterable[Camera], pose: BodyPose, time: int) -> Iterator[RenderedImage]:
        """A picture over black from each camera; `time` as for `Avatar.stage`."""
        stage = self.avatar.stage([pose], [time])
        for camera in cameras:
            yield self.picture(camera, stage)[0]

    def picture(
        self, camera: Camera, stage: Stage, capacity: tuple[RayCapacity, RayCapacity] | None = None
    ) -> tuple[RenderedImage, Int[Tensor, "2 needed"]]:
        """The first body of a stage over black, and the most that a chunk of rays demanded in each round: samples, then
        rows of each part.

        Args:
            capacity: sizes fixed beforehand for a chunk of rays in each round; see `Avatar.forward`.
        """
        rays = camera_rays(camera, self.avatar.device)
        chunks = [self._rays(rays[i : i + self.chunk], stage, capacity) for i in range(0, len(rays), self.chunk)]
        *images, needed = zip(*chunks)
        rgb, alpha, depth = (torch.cat(values).unflatten(0, (camera.height, camera.width)) for values in images)
        depth = depth / alpha.clamp_min(1e-6) * (alpha > 0)
        return RenderedImage(rgb, alpha, depth), torch.stack(needed).amax(0)

    def _rays(
        self, rays: Rays, stage: Stage, capacity: tuple[RayCapacity, RayCapacity] | None
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"], Float[Tensor, "N"], Int[Tensor, "2 needed"]]:
        """Premultiplied colour, opacity, depth and needed of rays."""
        front_capacity, back_capacity = capacity or (None, None)
        front, first = self._round(rays, stage, front_capacity, None, self.stretches[0])
        back, second = self._round(rays, stage, back_capacity, front.alpha < OPAQUE, self.stretches[1])
        left = 1 - front.alpha
        color = front.color + left[:, None] * back.color
        return color, front.alpha + left * back.alpha, front.depth + left * back.depth, torch.stack([first, second])

    def _round(
        self,
        rays: Rays,
        stage: Stage,
        capacity: RayCapacity | None,
        only: Bool[Tensor, "N"] | None,
        stretch: tuple[int, int],
    ) -> tuple[Rendering, Int[Tensor, "needed"]]:
        rendering, _, needed = self.avatar(rays, stage, capacity=capacity, only=only, stretch=stretch)
        return rendering, torch.cat([needed.samples, needed.rows]).long()
