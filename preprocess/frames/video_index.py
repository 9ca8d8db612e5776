"""Which picture of the video each of the subject's frames is.

The frames stage writes this into subject.json. Results of other tools, which are numbered by the video, are matched to
the subject's frames with it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.io.files import load_json
from preprocess.frames.images import image_paths


@dataclasses.dataclass(frozen=True)
class VideoIndex:
    """Where the subject's F frames, in ascending order, stand in the video."""

    pictures: np.ndarray
    """(F,) int: the picture's number in the video, from 0; the frame's own number if there was no video."""
    seconds: np.ndarray | None
    """(F,) float64: seconds since the video's first picture; None if there was no video."""
    size: tuple[int, int] | None
    """Width and height of the video's own pictures (pixels); None if unknown."""


def video_index(subject: Path) -> VideoIndex:
    """Reads the index from subject.json. Raises UserError if it does not fit the pictures."""
    frames = np.array(list(image_paths(subject)))
    video = Subject(subject).meta.get("video")
    if not isinstance(video, dict) or "pictures" not in video:
        return VideoIndex(frames, None, None)
    pictures, seconds = np.asarray(video["pictures"]), np.asarray(video.get("seconds", []), float)
    if pictures.ndim != 1 or seconds.shape != pictures.shape or frames.max() >= len(pictures):
        raise UserError(f"{subject / 'subject.json'} does not fit the pictures: run the frames stage again.")
    size = video.get("size")
    return VideoIndex(pictures[frames], seconds[frames], size and (int(size[0]), int(size[1])))


def index_entries(sources: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """The index as entries of subject.json, from each frame's (number in the video, seconds)."""
    return {"pictures": [index for index, _ in sources], "seconds": [round(seconds, 6) for _, seconds in sources]}


def refuse_other_video(subject: Path, source: Mapping[str, str]) -> None:
    """Raises UserError if the subject was made from another video, so that one does not overwrite the other.

    Args:
        source: `file` (absolute path) and `sha256` of the video. One of the two may change: a video may be moved, or
            edited in place.
    """
    path = subject / "subject.json"
    known = load_json(path).get("video") if path.exists() else None
    if known and known["sha256"] != source["sha256"] and known["file"] != source["file"]:
        raise UserError(f"{subject} was made from {known['file']}: choose another subject= for {source['file']}.")
    if not known and (subject / "images").exists():
        raise UserError(f"{subject} has pictures that were not made from a video: choose another subject=.")
