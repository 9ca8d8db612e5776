"""The turntable: a video of the avatar from all sides."""

from collections.abc import Iterable
from typing import Literal

import numpy as np

from hashhuman.body import visibility
from hashhuman.body.standing import upward
from hashhuman.errors import UserError
from hashhuman.evaluation import drawing
from hashhuman.evaluation.orbit import orbit
from hashhuman.evaluation.product import Evaluation, Made, Product
from hashhuman.evaluation.unseen import captioned, reported
from hashhuman.io.progress import track
from hashhuman.io.video import require_video, write_video


class Turntable(Product):
    """`turntable.mp4` or `.gif`: a 360 degree video of the avatar in the pose of one frame, from the filmed side on.

    The caption of each picture says which share of the visible surface no training frame observed. There the avatar's
    appearance is extrapolated.

    Args:
        views: number of pictures in one turn.
        fps: frames per second.
        height: height of the rendered pictures (pixels).
        frame: number of the frame whose pose is shown; None: the first training frame.
        background: grey level in [0, 1].
        format: `mp4`, or `gif` for pages and slides that show no videos.

    Raises:
        UserError: if a package for videos is missing. The constructor raises it, so that it shows before training.
    """

    def __init__(
        self, views: int, fps: int, height: int, frame: int | None, background: float, format: Literal["mp4", "gif"]
    ) -> None:
        self.require()
        self.format = format
        self.views, self.fps, self.height, self.frame, self.background = views, fps, height, frame, background

    @staticmethod
    def require() -> None:
        """Raises UserError if videos cannot be written."""
        require_video("the turntable video")

    def make(self, evaluation: Evaluation) -> Made:
        """Writes the video, and reports the unseen share of each view. Raises UserError for a frame without a pose."""
        avatar, datamodule = evaluation.avatar, evaluation.datamodule
        subject, train = datamodule.subject, datamodule.splits["train"]
        frame = train[0].frame if self.frame is None else self.frame
        if frame not in subject.posed_frames:
            raise UserError(
                f"{subject.root} has no pose for frame {frame}: choose another eval.products.turntable.frame."
            )
        template, pose = subject.template().to(avatar.device), evaluation.pose(frame).to(avatar.device)
        vertices = visibility.world_vertices(template, pose)
        up = upward(template, [evaluation.pose(picture.frame) for picture in train]).to(avatar.device)
        toward = subject.camera(train[0].camera).to(avatar.device).center - vertices.mean(0)
        cameras = orbit(vertices, up, toward, self.views, self.height)
        unseen = visibility.unseen_fractions(vertices, template.faces, cameras, evaluation.seen)
        time = datamodule.train_frames.index(frame) if frame in datamodule.train_frames else None

        def frames() -> Iterable[np.ndarray]:
            views = zip(avatar.render_images(cameras, pose, time, self.background), unseen)
            for image, share in track(views, "turntable", len(cameras), "views"):
                yield drawing.even(captioned(drawing.to_uint8(image.rgb), share))

        path = evaluation.folder / f"turntable.{self.format}"
        write_video(path, frames(), self.fps)
        return Made({"turntable": path}, reported(evaluation, "turntable", unseen), videos={"turntable": path})
