"""Renders whole pictures on a CPU: only what is seen, once."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from hashhuman.avatar.images import OPAQUE, RenderedImage, SceneRenderer
from hashhuman.avatar.scene import Scene
from hashhuman.body.template import BodyPose
from hashhuman.geometry.camera import Camera
from hashhuman.geometry.rays import Rays, camera_rays


class LoopImages:
    """Renders the pictures of `EagerImages` with less work.

    On a CPU, sizes that depend on the data cost nothing. So rays that miss the shell are dropped at once; each round
    has only the rays that the rounds before left open; and colours are computed only for samples that are seen.

    Args:
        renderer: the avatar.
        chunk: rays rendered at a time; bounds the memory.
        bins: bins of a ray in the shell (`ShellSampler`) that a round renders.
    """

    def __init__(self, renderer: SceneRenderer, chunk: int, bins: int) -> None:
        self.renderer, self.chunk, self.bins = renderer, chunk, bins

    def __call__(self, cameras: Iterable[Camera], pose: BodyPose, time: int) -> Iterator[RenderedImage]:
        """Yields a picture over black from each camera; `time` is the pose's index among the training frames, or -1."""
        scene, _ = self.renderer.measured_scene([pose], [time])
        for camera in cameras:
            yield self.picture(camera, scene)

    @torch.no_grad()
    def picture(self, camera: Camera, scene: Scene) -> RenderedImage:
        """Renders the first body of a scene over black."""
        rays = camera_rays(camera, self.renderer.device)
        seen = torch.zeros(len(rays), 5)  # premultiplied colour, opacity, premultiplied depth (m)
        for pixels in self.renderer.meets(rays, scene).nonzero()[:, 0].split(self.chunk):
            seen[pixels] = self._rendered(rays[pixels], scene)
        rgb, alpha, depth = seen.unflatten(0, (camera.height, camera.width)).split([3, 1, 1], -1)
        alpha, depth = alpha[..., 0], depth[..., 0]
        return RenderedImage(rgb.contiguous(), alpha.contiguous(), depth / alpha.clamp_min(1e-6) * (alpha > 0))

    def _rendered(self, rays: Rays, scene: Scene) -> Tensor:
        """Premultiplied colour, opacity and premultiplied depth (m) of rays, round by round until nothing is left."""
        seen, left, first = torch.zeros(len(rays), 5), torch.arange(len(rays)), 0
        while len(left):
            found = self.renderer.render_visible(rays[left], scene, (first, self.bins))
            values = torch.cat([found.color, found.alpha[:, None], found.depth[:, None]], 1)
            seen[left] += (1 - seen[left, 3, None]) * values
            n_samples = found.samples.start.diff()
            more = (n_samples == n_samples.amax()) & (n_samples > 0)  # others have no further bins
            left, first = left[more & (seen[left, 3] < OPAQUE)], first + self.bins
        return seen
