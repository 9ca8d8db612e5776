"""What the viewer shows: an avatar, its skeleton, its motions, and the frames that were filmed."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.export.motion import Motion, Skeleton, captured, captured_frames
from hashhuman.view.outputs import Filmed


@dataclasses.dataclass(frozen=True)
class Subject:
    """A run, or one that is being trained."""

    name: str
    avatar: Any  # a `hashhuman.avatar.protocol.Avatar`
    datamodule: Any  # its `SubjectDataModule`
    template: BodyTemplate
    skeleton: Skeleton
    motions: Sequence[Motion]  # the first one is the filmed one; others play the avatar, and have no frames
    frames: Sequence[int]  # the frame of the subject folder at each time of the filmed motion
    folder: Path | None  # where videos of camera paths are written; None: nowhere

    @classmethod
    def of(
        cls, avatar: Any, datamodule: Any, name: str, fps: float, folder: Path | None, motions: Sequence[Motion] = ()
    ) -> "Subject":
        """A run with its filmed motion.

        Args:
            avatar: in evaluation mode, except during its training.
            datamodule: the run's.
            name: shown above the controls.
            fps: frames per second if the subject folder does not say when its pictures were taken.
            folder: where videos of camera paths are written; None: nowhere.
            motions: further motions for this skeleton.
        """
        template = datamodule.subject.template()
        shown, frames = [captured(avatar, datamodule, fps), *motions], captured_frames(datamodule)
        return cls(name, avatar, datamodule, template, Skeleton.of(template), shown, frames, folder)

    def nearest_frame(self, time: float) -> int:
        """The position in the filmed motion, and in `frames`, that is nearest to a time (s)."""
        return int(np.abs(self.motions[0].times - time).argmin())

    def pose(self, position: int) -> BodyPose:
        """The pose of a filmed frame, as training has corrected it so far."""
        frame = self.frames[position]
        return self.avatar.refined_pose(self.datamodule.subject.pose(frame), frame)

    def train_index(self, position: int) -> int | None:
        """The index of a filmed frame among the training frames; None if it was held out."""
        frame, trained = self.frames[position], self.datamodule.train_frames
        return trained.index(frame) if frame in trained else None

    def filmed(self, position: int) -> Filmed:
        """The picture of a filmed frame. Raises UserError if it is damaged."""
        frame = self.frames[position]
        pictures = [picture for split in ("train", "heldout") for picture in self.datamodule.splits[split]]
        view = self.datamodule.view(next(picture for picture in pictures if picture.frame == frame))
        return Filmed(view.image, view.mask, view.camera)
