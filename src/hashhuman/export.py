"""What an avatar looks like from all sides: a turntable video, and a sheet of its canonical pose."""

import importlib.util
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from hashhuman import pictures
from hashhuman.body import visibility
from hashhuman.body.template import BodyPose
from hashhuman.errors import UserError
from hashhuman.io.files import atomic_path, write_image
from hashhuman.io.progress import track
from hashhuman.orbit import orbit, upright

MOSTLY = 0.5  # the share of the visible surface from which a side is called unseen


def write_video(path: Path, frames: Iterable[np.ndarray], fps: int) -> None:
    """Writes 8-bit RGB frames of one even size as H.264 (yuv420p), which browsers and players open.

    Raises UserError when the package `av` is missing.
    """
    require_av(path.name)
    import av  # a large library that only this function needs

    with atomic_path(path) as temporary, av.open(str(temporary), "w", options={"movflags": "+faststart"}) as container:
        stream: Any = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=fps, options={"crf": "18"})
                stream.height, stream.width, stream.pix_fmt = *frame.shape[:2], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())


def require_av(what: str) -> None:
    """Raises UserError when videos cannot be written here."""
    if importlib.util.find_spec("av") is None:
        raise UserError(f"{what} needs the package av: `pip install av`, or do without with eval.turntable=false.")


class Turntable:
    """A 360 degree video of the avatar in the pose of one frame, beginning on the side that the camera filmed.

    Each picture's strip says what share of the surface in it no training frame saw: there the avatar is a guess.

    Args:
        views: pictures in one turn.
        fps: of the video.
        height: of the rendered pictures (px).
        frame: whose pose it is; None for the first training frame.
        background: grey level in [0, 1].

    Raises UserError when the package `av` is missing, so that this is said before training, not after.
    """

    def __init__(self, views: int, fps: int, height: int, frame: int | None, background: float) -> None:
        require_av("The turntable video")
        self.views, self.fps, self.height, self.frame, self.background = views, fps, height, frame, background

    def __call__(self, avatar: Any, datamodule: Any, seen: Bool[Tensor, "V"], path: Path) -> list[float]:
        """Writes the video; returns each view's unseen share. Raises UserError for a frame without a pose."""
        subject, train = datamodule.subject, datamodule.splits["train"]
        frame = train[0].frame if self.frame is None else self.frame
        if frame not in subject.posed_frames:
            raise UserError(f"{subject.root} has no pose for frame {frame}: choose eval.turntable.frame among its own.")
        template, pose = subject.template().to(avatar.device), subject.pose(frame).to(avatar.device)
        vertices = visibility.world_vertices(template, pose)
        up = upright(subject.pose(picture.frame) for picture in train).to(avatar.device)
        toward = subject.camera(train[0].camera).to(avatar.device).center - vertices.mean(0)
        cameras = orbit(vertices, up, toward, self.views, self.height)
        unseen = [visibility.unseen_fraction(vertices, template.faces, camera, seen) for camera in cameras]
        time = datamodule.train_frames.index(frame) if frame in datamodule.train_frames else None

        def frames() -> Iterable[np.ndarray]:
            views = zip(avatar.render_images(cameras, pose, time, self.background), unseen)
            for image, share in track(views, "turntable", total=len(cameras)):
                yield _even(_captioned(pictures.to_uint8(image.rgb), share))

        write_video(path, frames(), self.fps)
        return unseen


class CanonicalSheet:
    """The avatar in its canonical pose (legs apart) from all sides, on one sheet.

    Args:
        views: of the sheet, at equal steps; the first is the front.
        height: of each picture (px).
        background: grey level in [0, 1].
    """

    def __init__(self, views: int, height: int, background: float) -> None:
        self.views, self.height, self.background = views, height, background

    def __call__(self, avatar: Any, datamodule: Any, seen: Bool[Tensor, "V"], path: Path) -> list[float]:
        """Writes the sheet; returns each view's unseen share."""
        template = datamodule.subject.template().to(avatar.device)
        # It stands as in the first training picture, not along the world's axes: the learned light knows no other.
        filmed = datamodule.subject.pose(datamodule.splits["train"][0].frame).to(avatar.device)
        pose = BodyPose(template.big_pose(), filmed.Rh, filmed.Th)
        vertices = visibility.world_vertices(template, pose)
        _, up, front = pose.world_from_posed()[:3, :3].T
        cameras = orbit(vertices, up, front, self.views, self.height)
        images = avatar.render_images(cameras, pose, background=self.background)
        unseen, cells = [], []
        for i, image in enumerate(track(images, "canonical views", total=len(cameras))):
            share = visibility.unseen_fraction(vertices, template.faces, cameras[i], seen)
            lines = f"{360 * i / self.views:g} degrees from the front to the left"
            cells.append(_captioned(pictures.to_uint8(image.rgb), share, lines))
            unseen.append(share)
        write_image(path, pictures.sheet(cells, columns=math.ceil(self.views / 2)))
        return unseen


def _captioned(image: np.ndarray, unseen: float, *lines: str) -> np.ndarray:
    if unseen >= MOSTLY:
        text, color = f"unseen side: {unseen:.0%} of the visible surface never observed", pictures.WARNING
    else:
        text, color = f"{unseen:.0%} of the visible surface never observed", pictures.INK
    return pictures.caption(image, *lines, text, color=color)


def _even(image: np.ndarray) -> np.ndarray:
    """The picture with its last row and column repeated where its size is odd, as H.264 needs."""
    return np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="edge")
