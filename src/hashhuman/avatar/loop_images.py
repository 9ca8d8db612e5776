"""Renders whole pictures on a CPU: only what is seen, once."""

import math
from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor

from hashhuman.avatar.images import OPAQUE, RenderedImage, SceneRenderer
from hashhuman.avatar.scene import Scene
from hashhuman.body.template import BodyPose
from hashhuman.geometry.camera import Camera
from hashhuman.geometry.rays import Rays, camera_rays
from hashhuman.io import threads

SHARE = 1 << 18  # the most pixels of which a thread keeps the samples; bounds the memory


class LoopImages:
    """Renders the pictures of `EagerImages` with less work.

    On a CPU, sizes that depend on the data cost nothing. So rays that miss the shell are dropped at once; each round
    has only the rays that the rounds before left open; and colours are computed only for samples that are seen.
    Each thread has rays of its own. If all threads did each operation together, they would wait for one another most of
    the time.

    Args:
        renderer: the avatar.
        chunk: the most rays that meet the shell and that a thread renders at a time; bounds the memory.
        per_round: samples of a ray that a round renders.
    """

    def __init__(self, renderer: SceneRenderer, chunk: int, per_round: int) -> None:
        self.renderer, self.chunk, self.per_round = renderer, chunk, per_round

    def __call__(self, cameras: Iterable[Camera], pose: BodyPose, time: int) -> Iterator[RenderedImage]:
        """Yields a picture over black from each camera; `time` is the pose's index among the training frames, or -1."""
        with threads.alone():
            scene, _ = self.renderer.measured_scene([pose], [time])
        for camera in cameras:
            yield self.picture(camera, scene)

    def picture(self, camera: Camera, scene: Scene) -> RenderedImage:
        """Renders the first body of a scene over black."""
        with threads.alone() as n_threads:
            return self._divided(camera, scene, n_threads)

    def _divided(self, camera: Camera, scene: Scene, n_threads: int) -> RenderedImage:
        rays = camera_rays(camera, self.renderer.device)
        count = n_threads * math.ceil(len(rays) / (n_threads * SHARE))
        shares = [rays[i::count] for i in range(count)]  # each has as much of the person as the others
        rendered, seen = partial(self._rendered, scene=scene), torch.empty(len(rays), 5)
        found = map(rendered, shares) if n_threads == 1 else threads.ordered(rendered, shares, n_threads)
        for i, values in enumerate(found):
            seen[i::count] = values
        rgb, alpha, depth = seen.unflatten(0, (camera.height, camera.width)).split([3, 1, 1], -1)
        alpha, depth = alpha[..., 0], depth[..., 0]
        return RenderedImage(rgb.contiguous(), alpha.contiguous(), depth / alpha.clamp_min(1e-6) * (alpha > 0))

    @torch.no_grad()
    def _rendered(self, rays: Rays, scene: Scene) -> Tensor:
        """Premultiplied colour, opacity and premultiplied depth (m) of rays, round by round until nothing is left."""
        samples = self.renderer.sample(rays, scene)
        count, seen = samples.start.diff(), torch.zeros(len(rays), 5)
        for left in count.nonzero()[:, 0].split(self.chunk):
            first = 0
            while len(left):
                found = self.renderer.render_visible(rays[left], scene, samples.of(left, first, self.per_round))
                values = torch.cat([found.color, found.alpha[:, None], found.depth[:, None]], 1)
                seen[left] += (1 - seen[left, 3, None]) * values
                first += self.per_round
                left = left[(count[left] > first) & (seen[left, 3] < OPAQUE)]
        return seen
