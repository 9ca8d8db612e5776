"""Which pictures of the video a subject's are, so that what other tools say of the video finds its place."""

import dataclasses
from pathlib import Path

import numpy as np

from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from preprocess.frames.monocular import image_paths


@dataclasses.dataclass(frozen=True)
class Origin:
    """Of the subject's F pictures, in order."""

    pictures: np.ndarray
    """(F,) int: the picture of the video, from 0; the frame's own number if the subject was not made from a video."""
    seconds: np.ndarray | None
    """(F,) since the video's first picture; None if the subject was not made from a video."""
    size: tuple[int, int] | None
    """Width and height of the video's own pictures; None if it is not known."""


def origin(subject: Path) -> Origin:
    """Reads subject.json. Raises UserError if it does not fit the pictures."""
    frames = np.array(list(image_paths(subject)))
    video = Subject(subject).meta.get("video")
    if not isinstance(video, dict) or "pictures" not in video:
        return Origin(frames, None, None)
    pictures, seconds = np.asarray(video["pictures"]), np.asarray(video.get("seconds", []), float)
    if pictures.ndim != 1 or seconds.shape != pictures.shape or frames.max() >= len(pictures):
        raise UserError(f"{subject / 'subject.json'} does not fit the pictures: run the frames stage again.")
    size = video.get("size")
    return Origin(pictures[frames], seconds[frames], size and (int(size[0]), int(size[1])))
