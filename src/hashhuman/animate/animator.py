"""Animates an avatar: carries a clip over to its body, renders a video and exports files."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8

from hashhuman.animate.clip import Clip
from hashhuman.animate.ground import Ground
from hashhuman.animate.retarget import Retargeting
from hashhuman.evaluation import drawing
from hashhuman.export.exporter import Exporter
from hashhuman.export.motion import Motion, Skeleton, body_poses, captured
from hashhuman.geometry.camera import Camera
from hashhuman.io.progress import track
from hashhuman.io.video import require_video, write_video

CameraPath = Callable[..., list[Camera]]  # of `hashhuman.animate.camera`


class Animator:
    """Writes the video `animation.mp4` or `.gif` of an avatar with a new motion, and files that contain it.

    Args:
        fps: frames per second of the video and the files.
        start, stop: the part of the clip that is shown (s); stop=None: to its end.
        retargeting: carries the clip over.
        ground: puts it on the ground.
        camera: films it; see `hashhuman.animate.camera`.
        video: mp4, gif, or None: no video.
        background: grey level in [0, 1].
        exporter: writes the files.

    Raises:
        UserError: if a package for videos is missing.
    """

    def __init__(
        self,
        fps: int,
        start: float,
        stop: float | None,
        retargeting: Retargeting,
        ground: Ground,
        camera: CameraPath,
        video: Literal["mp4", "gif"] | None,
        background: float,
        exporter: Exporter,
    ) -> None:
        self.require(video)
        self.fps, self.start, self.stop = fps, start, stop
        self.retargeting, self.ground = retargeting, ground
        self.camera, self.video, self.background = camera, video, background
        self.exporter = exporter

    @staticmethod
    def require(video: str | None) -> None:
        """Raises UserError if a video is asked for and cannot be written."""
        if video is not None:
            require_video("the animation's video")

    def motion(self, avatar: Any, datamodule: Any, name: str, clip: Clip) -> Motion:
        """The clip on the avatar's body: it begins where the recording began, on the same ground.

        Raises:
            UserError: if the clip does not fit the options, or its joints are not recognised.
        """
        template = datamodule.subject.template()
        part = clip.sampled(float(self.fps), self.start, self.stop)
        motion = self.retargeting(name, part, Skeleton.of(template))
        placed = captured(avatar, datamodule, self.exporter.fps).exported_from_world
        return self.ground(dataclasses.replace(motion, exported_from_world=placed), template)

    def __call__(self, avatar: Any, datamodule: Any, name: str, clip: Clip, folder: Path) -> dict[str, Path]:
        """Animates an avatar in evaluation mode.

        Args:
            avatar: a `hashhuman.avatar.protocol.Avatar`.
            datamodule: the run's `SubjectDataModule`.
            name: the motion's.
            clip: what a reader returned.
            folder: where files are written.

        Returns:
            The files: name of the format, path.

        Raises:
            UserError: see `motion`, and if a file cannot be written.
        """
        motion = self.motion(avatar, datamodule, name, clip)
        files = self.exporter(avatar, datamodule, folder, motion)
        if self.video is not None:
            path = folder / f"animation.{self.video}"
            write_video(path, self._pictures(avatar, datamodule, motion), self.fps)
            files["video"] = path
        return files

    def _pictures(self, avatar: Any, datamodule: Any, motion: Motion) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        frames = list(range(len(motion.times)))
        for _, image in track(self.pictures(avatar, datamodule, motion, frames), "animation", len(frames), "pictures"):
            yield image

    def pictures(
        self, avatar: Any, datamodule: Any, motion: Motion, frames: Sequence[int]
    ) -> Iterator[tuple[int, UInt8[np.ndarray, "H W 3"]]]:
        """The chosen frames of a motion with their pictures, of even size."""
        template, device = datamodule.subject.template(), avatar.device
        poses = body_poses(motion, template)
        up = torch.from_numpy(motion.exported_from_world[1, :3]).float()
        cameras = self.camera(poses, template, up, datamodule)
        for frame in frames:
            pose = poses[frame].to(device)
            with torch.no_grad():
                image = avatar.render_image(cameras[frame].to(device), pose, None, self.background)
            yield frame, drawing.even(drawing.to_uint8(image.rgb))
