"""Renders whole pictures, one kernel launch after another."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.avatar.prediction import RayOutputs
from hashhuman.avatar.scene import Scene
from hashhuman.body.template import BodyPose
from hashhuman.geometry.camera import Camera
from hashhuman.geometry.rays import Rays, camera_rays
from hashhuman.gpu.capacity import IndexCapacity, RayCapacity
from hashhuman.renderer.shell_sampler import ALL_BINS
from hashhuman.renderer.volume import Rendering, Samples

OPAQUE = 0.998  # above this opacity, what lies behind changes a pixel by less than half of one of 255 grey levels


@dataclasses.dataclass(frozen=True)
class RenderedImage:
    """A rendered picture over its background; float32, on the renderer's device."""

    rgb: Float[Tensor, "H W 3"]  # in [0, 1]
    alpha: Float[Tensor, "H W"]  # opacity in [0, 1]
    depth: Float[Tensor, "H W"]  # expected distance along the ray (m); 0 where alpha is 0


@runtime_checkable
class SceneRenderer(Protocol):
    """The part of an avatar that renders pictures: it poses bodies and renders rays."""

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        ...

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """All learned parameters."""
        ...

    def measured_scene(
        self, poses: Sequence[BodyPose], time: Sequence[int] | Tensor | None, capacity: IndexCapacity | None = None
    ) -> tuple[Scene, Int[Tensor, "sizes"]]:
        """Poses bodies. Returns the scene, and the sizes that it needed in the order of `IndexCapacity.sizes`."""
        ...

    def render_rays(
        self,
        rays: Rays,
        scene: Scene,
        jitter: bool = False,
        capacity: RayCapacity | None = None,
        ray_mask: Bool[Tensor, "N"] | None = None,
        bins: tuple[int, int] = ALL_BINS,
    ) -> RayOutputs:
        """Renders rays of a scene; the arguments are those of `HashGridAvatar.render_rays`."""
        ...

    def sample(self, rays: Rays, scene: Scene) -> Samples:
        """The samples of rays in the scene's shell."""
        ...

    def render_visible(self, rays: Rays, scene: Scene, samples: Samples) -> Rendering:
        """Renders rays without the colours of what is hardly seen; see `HashGridAvatar.render_visible`."""
        ...


class EagerImages:
    """Renders all pixels of a picture in two rounds.

    Most rays end at the first surface. So the first round renders the first bins of all rays. The second round renders
    the remaining bins, and only of those rays that are not opaque yet.

    Args:
        renderer: the avatar.
        chunk: rays rendered at a time; bounds the memory.
        front_bins: bins of a ray in the shell (`ShellSampler`) that the first round renders.
    """

    def __init__(self, renderer: SceneRenderer, chunk: int, front_bins: int) -> None:
        self.renderer, self.chunk = renderer, chunk
        self.rounds = (0, front_bins), (front_bins, ALL_BINS[1])

    def __call__(self, cameras: Iterable[Camera], pose: BodyPose, time: int) -> Iterator[RenderedImage]:
        """Yields a picture over black from each camera; `time` is the pose's index among the training frames, or -1."""
        scene, _ = self.renderer.measured_scene([pose], [time])
        for camera in cameras:
            yield self.picture(camera, scene)[0]

    @torch.no_grad()
    def picture(
        self, camera: Camera, scene: Scene, capacity: tuple[RayCapacity, RayCapacity] | None = None
    ) -> tuple[RenderedImage, Int[Tensor, "2 sizes"]]:
        """Renders the first body of a scene over black.

        Args:
            capacity: fixed sizes for a chunk of rays in each round; None: as large as needed.

        Returns:
            The picture, and for each round the most that a chunk of rays needed: samples, then rows of each part.
        """
        rays = camera_rays(camera, self.renderer.device)
        chunks = [self._chunk(rays[i : i + self.chunk], scene, capacity) for i in range(0, len(rays), self.chunk)]
        *images, needs = zip(*chunks)
        rgb, alpha, depth = (torch.cat(values).unflatten(0, (camera.height, camera.width)) for values in images)
        depth = depth / alpha.clamp_min(1e-6) * (alpha > 0)
        return RenderedImage(rgb, alpha, depth), torch.stack(needs).amax(0)

    def _chunk(
        self, rays: Rays, scene: Scene, capacity: tuple[RayCapacity, RayCapacity] | None
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"], Float[Tensor, "N"], Int[Tensor, "2 sizes"]]:
        """Premultiplied colour, opacity, premultiplied depth (m) and needed sizes of rays."""
        front_capacity, back_capacity = capacity or (None, None)
        front, first = self._round(rays, scene, front_capacity, None, self.rounds[0])
        back, second = self._round(rays, scene, back_capacity, front.alpha < OPAQUE, self.rounds[1])
        left = 1 - front.alpha
        color = front.color + left[:, None] * back.color
        return color, front.alpha + left * back.alpha, front.depth + left * back.depth, torch.stack([first, second])

    def _round(
        self,
        rays: Rays,
        scene: Scene,
        capacity: RayCapacity | None,
        ray_mask: Bool[Tensor, "N"] | None,
        bins: tuple[int, int],
    ) -> tuple[Rendering, Int[Tensor, "sizes"]]:
        outputs = self.renderer.render_rays(rays, scene, capacity=capacity, ray_mask=ray_mask, bins=bins)
        return outputs.rendering, torch.cat([outputs.needs.samples, outputs.needs.rows]).long()
