"""What the stages of given masks share: a mask is read for each picture, and parts are drawn where none are given."""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, UInt8
from rich.progress import Progress

from hashhuman.data.silhouette import around
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io.masks import chosen, fit
from preprocess.frames.video_index import VideoIndex, video_index
from preprocess.masks.draw import draw_stage
from preprocess.masks.outputs import mask_outputs
from preprocess.masks.parts import PartRenderer, spread_classes
from preprocess.masks.shift import ShiftCheck
from preprocess.stage import Stage

DrawBody = Callable[[int], Bool[np.ndarray, "H W"]]  # the pixels that the body covers in a frame


@dataclasses.dataclass(frozen=True)
class GivenMask:
    """A mask as it was given."""

    content: np.ndarray
    """Ids or coverage, of any size, as `hashhuman.io.masks.read_ids_or_coverage` returns them."""
    path: Path
    """Where it is from, for messages."""


Masks = Mapping[int, Callable[[], GivenMask | None]]
"""What reads the mask of each of the subject's frames; None, or no entry, for a frame without one."""


class GivenMasks(Stage):
    """Writes `mask/` and `schp/` from given masks. A picture without one, or with an empty one, is not trained on.

    Masks that the keypoints, if there are any, show to be those of other pictures are refused.
    """

    name: ClassVar[str] = "masks"
    path: Path
    """Where the masks are from, for messages."""
    pictures: int
    """How many pictures to draw."""

    def outputs(self, subject: Path) -> list[Path]:
        return mask_outputs(subject, self.name)

    @abc.abstractmethod
    def masks(self, reader: Subject, index: VideoIndex, body: DrawBody) -> Masks:
        """The masks. Raises UserError if they do not belong to the subject's pictures."""

    def parts_of(self, frame: int, height: int, width: int) -> UInt8[np.ndarray, "H W"] | None:
        """The given part labels of a frame, as LIP classes; None: they are drawn from the body."""
        return None

    def run(self, subject: Path, progress: Progress) -> str:
        reader, writer = Subject(subject), SubjectWriter(subject)
        camera = reader.camera(0)
        height, width = camera.height, camera.width
        render = PartRenderer(reader.template())
        masks = self.masks(reader, video_index(subject), lambda frame: render(camera, reader.vertices(frame)) != 0)
        absent, count, check = [], 0, ShiftCheck.of(subject)
        for picture in progress.track(reader.pictures, description="masks"):
            frame = picture.frame
            body, mask = render(camera, reader.vertices(frame)), np.zeros((height, width), np.float32)
            given = masks[frame]() if frame in masks else None
            if given is not None:
                count += 1
                mask = chosen(fit(given.content, height, width, given.path), around(body != 0), given.path)
            check.add(frame, mask)
            if not mask.any():
                absent.append(frame)
            labels = self.parts_of(frame, height, width)
            writer.write_mask(picture.camera, frame, mask)
            writer.write_parts(picture.camera, frame, spread_classes(body, mask > 0.5) if labels is None else labels)
        if len(absent) == len(reader.pictures):
            raise UserError(f"All masks in {self.path} are empty: name the folder of the person's masks.")
        check.refuse(self.path)
        draw_stage(Subject(subject), subject / "pictures" / self.name, self.pictures)
        none = f", none or an empty one in {len(absent)} pictures (from {absent[0]} on)" if absent else ""
        return f"{count} masks from {self.path}{none}"
