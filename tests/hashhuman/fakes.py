"""Stand-ins for a trained avatar and its data: the avatar renders the truth, or errs by a known amount."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from hashhuman.avatar.images import RenderedImage
from hashhuman.body.template import BodyPose
from hashhuman.body.visibility import world_vertices
from hashhuman.data.datamodule import View
from hashhuman.data.splits import split
from hashhuman.data.subject import Picture, Subject
from hashhuman.geometry.camera import Camera
from tests import toy


class FakeData:
    """The part of a SubjectDataModule that an evaluation uses, for the toy: camera 0 trains on the first frames."""

    def __init__(self, root: Path, train_frames: int = 4, holdout_every: int = 3) -> None:
        self.subject = Subject(root)
        self.splits = split(self.subject, [0], train_frames, holdout_every)
        self.train_frames = sorted({picture.frame for picture in self.splits["train"]})

    def camera(self, picture: Picture) -> Camera:
        """The picture's camera."""
        return self.subject.camera(picture.camera)

    def resize(self, picture: np.ndarray) -> np.ndarray:
        """The picture itself."""
        return picture

    def view_or_damage(self, picture: Picture) -> View:
        return self.view(picture)

    def view(self, picture: Picture) -> View:
        """A whole picture."""
        image = torch.from_numpy(self.subject.image(picture)).float() / 255
        mask = torch.from_numpy(self.subject.mask(picture))
        frame = self.train_frames.index(picture.frame) if picture.frame in self.train_frames else None
        camera, pose = self.subject.camera(picture.camera), self.subject.pose(picture.frame)
        return View(f"{picture.camera:02d}/{picture.frame:06d}", image, mask, camera, pose, frame, picture.frame)


class FakeAvatar(torch.nn.Module):
    """Casts rays at the toy; `change` damages what it renders."""

    device = torch.device("cpu")

    def __init__(self, change: Callable[[RenderedImage], RenderedImage] = lambda image: image) -> None:
        super().__init__()
        self.change = change
        self.asked: list[int | None] = []  # the requested frames

    def refined_pose(self, pose: BodyPose, frame: int) -> BodyPose:
        """The pose as it is."""
        return pose

    def render_image(
        self, camera: Camera, pose: BodyPose, frame: int | None = None, background: float = 0.0
    ) -> RenderedImage:
        """The toy's true picture, changed."""
        self.asked.append(frame)
        return self._render(camera, pose, background)

    def render_images(
        self, cameras: Iterable[Camera], pose: BodyPose, frame: int | None = None, background: float = 0.0
    ) -> Iterator[RenderedImage]:
        """The toy's true pictures, changed."""
        for camera in cameras:
            yield self._render(camera, pose, background)

    def _render(self, camera: Camera, pose: BodyPose, background: float) -> RenderedImage:
        body = toy.template()
        face = toy.cast(world_vertices(body, pose), body.faces, camera)
        seen = torch.from_numpy(face >= 0)
        shade = torch.from_numpy(0.7 + 0.05 * (face % 6))[..., None]
        colour = torch.from_numpy(toy.COLOURS)[torch.from_numpy(face).clamp(min=0) // 12] * shade / 255
        image = RenderedImage((colour * seen[..., None]).float(), seen.float(), seen.float())
        image = self.change(image)
        rgb = image.rgb + (1 - image.alpha[..., None]) * background
        return RenderedImage(rgb, image.alpha, image.depth)
