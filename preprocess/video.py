"""Videos: which file a name means, what its subject is called, and its pictures one by one."""

import dataclasses
import hashlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import av
import av.container
import av.error
import cv2
import numpy as np

from hashhuman.assets import fetch
from hashhuman.errors import UserError
from preprocess.assets import POSE2SIM_VIDEOS

log = logging.getLogger(__name__)

SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".gif")
DEMO = "demo"
DEMO_CAMERA = POSE2SIM_VIDEOS[0]  # sees the man from the front, and the bystander well apart from him


def find_video(video: str, workspace: Path) -> Path:
    """The file that `video` means: a path, a name in `workspace`/videos (with or without suffix), or `demo`.

    A file of the user's own goes before the recording that `demo` fetches. Raises UserError if there is no such file.
    """
    folder = workspace / "videos"
    for path in (Path(video).expanduser(), folder / video):
        if path.is_file():
            return path
    found = sorted(folder / f"{video}{suffix}" for suffix in SUFFIXES if (folder / f"{video}{suffix}").is_file())
    if len(found) > 1:
        raise UserError(f"video={video} may be {' or '.join(p.name for p in found)} in {folder}: add the suffix.")
    if found:
        return found[0]
    if video == DEMO:
        return fetch(DEMO_CAMERA)
    raise UserError(
        f"there is no video {video!r}: neither a file of that path nor {folder / video}.mp4 (or another video suffix)."
    )


def subject_name(video: str) -> str:
    """The subject's name: the file's stem, made safe for folders and command lines.

    What had to be replaced is told apart by a hash, so that `a b.mp4` and `a_b.mp4` are two subjects.
    """
    path = Path(video)
    stem = path.stem if path.suffix.lower() in SUFFIXES else path.name
    safe = re.sub(r"[^\w.-]+", "_", stem, flags=re.ASCII).strip("._-")
    return safe if safe == stem else f"{safe or 'video'}-{hashlib.sha256(stem.encode()).hexdigest()[:6]}"


@dataclasses.dataclass(frozen=True)
class VideoPicture:
    """One decoded picture, upright and with square pixels."""

    index: int  # in the file, from 0
    seconds: float  # when it is shown; videos of phones have no constant rate
    image: np.ndarray  # (H, W, 3) uint8 RGB


def count_pictures(path: Path) -> int | None:
    """How many pictures the file says it holds, if it says so."""
    with _opened(path) as container:
        return container.streams.video[0].frames or None


def decode(path: Path, stop: int | None = None) -> Iterator[VideoPicture]:
    """The pictures of a video in order of display.

    Raises UserError if the file is no video, or if a picture does not decode.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        aspect = float(stream.sample_aspect_ratio or 1)
        pictures = container.decode(stream)
        index = 0
        while stop is None or index < stop:
            try:
                frame = next(pictures)
            except (StopIteration, av.error.EOFError):
                if index < stream.frames:
                    log.warning("%s ends after %d of the %d pictures that it promises", path, index, stream.frames)
                return
            except av.error.FFmpegError as error:
                raise _broken(path, index, error.strerror or str(error)) from None
            if frame.is_corrupt:
                raise _broken(path, index, "its data are damaged")
            image = frame.to_ndarray(format="rgb24")
            yield VideoPicture(index, float(frame.time or 0), _upright(image, frame.rotation, aspect))
            index += 1


def _opened(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise UserError(f"{path} cannot be read as a video: {error.strerror or error}.") from None
    if not container.streams.video:
        container.close()
        raise UserError(f"{path} holds no video.")
    return container


def _broken(path: Path, index: int, reason: str) -> UserError:
    return UserError(
        f"{path}: picture {index} does not decode ({reason}): repair the video, or use the part before it with "
        f"preprocess.frames.stop={index}."
    )


def _upright(image: np.ndarray, rotation: int, aspect: float) -> np.ndarray:
    """Undoes non-square pixels (width over height) and the camera's roll (degrees, counter-clockwise to upright)."""
    if aspect != 1:
        image = cv2.resize(image, (round(image.shape[1] * aspect), image.shape[0]), interpolation=cv2.INTER_AREA)
    turns = round(rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
