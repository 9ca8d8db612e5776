"""Pictures of the field that are coarse at first: they begin small, and grow until they have the canvas's size."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float

from hashhuman.avatar.images import RenderedImage
from hashhuman.body.template import BodyPose
from hashhuman.geometry.camera import Camera
from hashhuman.view.cameras import box_of, cropped

FIRST_GUESS = {"cpu": 5e4, "cuda": 5e7}  # rays per second, before anything was measured


@dataclasses.dataclass(frozen=True)
class RenderRequest:
    """What a picture shows."""

    camera: Camera  # of the whole canvas (run's world)
    pose: BodyPose
    frame: int | None  # the pose's index among the training frames; None for a pose that is not among them
    body: Float[torch.Tensor, "N 3"]  # points of the posed body (m, world), near which the person is


@dataclasses.dataclass(frozen=True)
class Picture:
    """A rendered picture over its background, and the camera of its size."""

    image: RenderedImage
    camera: Camera
    final: bool  # no finer one follows


class Progressive:
    """Renders a view in growing sizes, piece by piece, so that work on a view that has changed can be left.

    How fast the machine is, it measures. Where a whole picture takes no longer than the first one may, as on a GPU, it
    renders that at once, and always in the same size, for which CUDA graphs are captured once.

    Args:
        first_s: seconds that the first picture may take.
        piece_s: seconds that a piece may take.
        growth: how many times higher and wider the next picture is.
        least: the first picture has at least this height or width (pixels), whichever is larger,
        most: and the last one at most this; larger canvases get it enlarged.
        margin: how far clothes and hair may lie outside the body (m).
        background: grey level in [0, 1].
        now: clock that returns seconds from any origin.
    """

    def __init__(
        self, first_s: float, piece_s: float, growth: float, least: int, most: int, margin: float, background: float,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:  # fmt: skip
        self.first_s, self.piece_s, self.growth = first_s, piece_s, growth
        self.least, self.most, self.margin, self.background, self.now = least, most, margin, background, now
        self.rate: float | None = None  # rays per second

    def rays_per_second(self, device: torch.device) -> float:
        """As measured, or guessed before the first picture."""
        return self.rate or FIRST_GUESS.get(device.type, FIRST_GUESS["cpu"])

    def immediate(self, height: int, width: int, device: torch.device) -> bool:
        """Whether a whole picture is there as fast as a coarse one may take, so that no mesh need stand in for it."""
        scale = min(1.0, self.most / max(height, width))
        return height * width * scale**2 <= self.first_s * self.rays_per_second(device)

    def __call__(self, avatar: Any, view: RenderRequest) -> Iterator[Picture | None]:
        """Yields each picture when it is whole, and None after every piece before that.

        Between two values the avatar is not used, so that others may use it.
        """
        whole = self._limited(view.camera)
        if self.immediate(view.camera.height, view.camera.width, avatar.device):
            image = self._timed(avatar, view, [whole])
            yield Picture(next(image), whole, True)
            return
        cameras = self.sizes(whole, avatar.device)
        queue = [(camera, list(self._pieces(camera, view, avatar.device))) for camera in cameras]
        rendered = self._timed(avatar, view, (piece[1] for _, pieces in queue for piece in pieces))
        for index, (camera, pieces) in enumerate(queue):
            image = self._empty(camera, avatar.device)
            for place, (box, _) in enumerate(pieces):
                _put(image, next(rendered), box)
                if place < len(pieces) - 1:
                    yield None
            yield Picture(image, camera, index == len(queue) - 1)

    def sizes(self, whole: Camera, device: torch.device) -> list[Camera]:
        """The cameras of the pictures, from the coarsest to the whole one."""
        longest = max(whole.height, whole.width)
        pixels = self.first_s * self.rays_per_second(device)
        size = max(self.least, math.sqrt(pixels * longest / min(whole.height, whole.width)))
        found = []
        while size * self.growth**0.5 < longest:  # a picture that is hardly smaller than the next would be wasted
            found.append(whole.scaled(size / longest))
            size *= self.growth
        return [*found, whole]

    def _limited(self, camera: Camera) -> Camera:
        longest = max(camera.height, camera.width)
        return camera if longest <= self.most else camera.scaled(self.most / longest)

    def _pieces(
        self, camera: Camera, view: RenderRequest, device: torch.device
    ) -> Iterator[tuple[tuple[int, int, int, int], Camera]]:
        """Strips of a picture, each with its box: top, bottom, left, right."""
        box = box_of(view.body, camera, self.margin)
        if box is None:
            return
        top, bottom, left, right = box
        rows = max(1, int(self.piece_s * self.rays_per_second(device) / (right - left)))
        for row in range(top, bottom, rows):
            strip = row, min(bottom, row + rows), left, right
            yield strip, cropped(camera, *strip)

    def _timed(self, avatar: Any, view: RenderRequest, cameras: Any) -> Iterator[RenderedImage]:
        """Renders, and measures how fast: the rate follows slowly, since pieces differ in what they show."""
        pose = view.pose.to(avatar.device)
        asked: list[Camera] = []

        def each() -> Iterator[Camera]:
            for camera in cameras:
                asked.append(camera)
                yield camera.to(avatar.device)

        images = avatar.render_images(each(), pose, view.frame, self.background)
        while True:
            began = self.now()
            if (image := next(images, None)) is None:
                return
            if avatar.device.type == "cuda":
                torch.cuda.synchronize(avatar.device)
            seconds, camera = max(self.now() - began, 1e-6), asked[-1]
            found = camera.height * camera.width / seconds
            self.rate = found if self.rate is None else self.rate**0.7 * found**0.3
            yield image

    def _empty(self, camera: Camera, device: torch.device) -> RenderedImage:
        size = camera.height, camera.width
        rgb = torch.full((*size, 3), self.background, device=device)
        return RenderedImage(rgb, torch.zeros(size, device=device), torch.zeros(size, device=device))


def _put(image: RenderedImage, piece: RenderedImage, box: tuple[int, int, int, int]) -> None:
    rows, columns = slice(*box[:2]), slice(*box[2:])
    image.rgb[rows, columns] = piece.rgb
    image.alpha[rows, columns] = piece.alpha
    image.depth[rows, columns] = piece.depth
