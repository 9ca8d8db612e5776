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
    total: int | None = None
    """How many pictures the whole video has; None if it does not say."""

    @property
    def step(self) -> float:
        """How many pictures of the video there are, as a rule, from one frame to the next."""
        return float(np.median(np.diff(self.pictures))) if len(self.pictures) > 1 else 1.0


def video_index(subject: Path) -> VideoIndex:
    """Reads the index from subject.json. Raises UserError if it does not fit the pictures."""
    frames = np.array(list(image_paths(subject)))
    video = Subject(subject).meta.get("video")
    if not isinstance(video, dict) or "pictures" not in video:
        return VideoIndex(frames, None, None)
    try:
        pictures, seconds = np.asarray(video["pictures"]), np.asarray(video.get("seconds", []), float)
        size = video.get("size") and (int(video["size"][0]), int(video["size"][1]))
        total = video.get("total") and int(video["total"])
        fits = pictures.ndim == 1 and pictures.dtype.kind == "i" and seconds.shape == pictures.shape
    except (TypeError, ValueError, LookupError, OverflowError):
        fits = False
    if not fits or frames.max() >= len(pictures):
        raise UserError(f"{subject / 'subject.json'} does not fit the pictures: run the frames stage again.")
    return VideoIndex(pictures[frames], seconds[frames], size, total)


def recorded_notes(subject: Path) -> list[str]:
    """What was noticed when the subject's video was read, such as damage: `video.notes` of subject.json."""
    path = subject / "subject.json"
    meta = load_json(path) if path.exists() else None
    video = meta.get("video") if isinstance(meta, dict) else None
    notes = video.get("notes") if isinstance(video, dict) else None
    return [str(note) for note in notes] if isinstance(notes, list) else []


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
    meta = load_json(path) if path.exists() else {}
    known = meta.get("video") if isinstance(meta, dict) else None
    if known is not None and not (isinstance(known, dict) and known.keys() >= {"sha256", "file"}):
        raise UserError(f"{path} is damaged: delete it, and run preprocessing again with preprocess.force=true.")
    if known and known["sha256"] != source["sha256"] and known["file"] != source["file"]:
        raise UserError(f"{subject} was made from {known['file']}: choose another subject= for {source['file']}.")
    if not known and (subject / "images").exists():
        raise UserError(f"{subject} has pictures that were not made from a video: choose another subject=.")
