"""Video files: finding one by name, naming its subject, and decoding its pictures."""

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import av.container
import av.error
import numpy as np
from jaxtyping import Int

from hashhuman.errors import UserError
from hashhuman.io.assets import fetch
from hashhuman.io.listing import listed
from preprocess.assets import POSE2SIM_VIDEOS
from preprocess.frames.colour import ToRgb
from preprocess.frames.notes import Notes
from preprocess.frames.orientation import display_matrix, upright

SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".gif", ".webp")
_SHORT = 300  # pictures: up to here, decoding from the start is as fast as seeking, and exact
DEMO = "demo"
DEMO_CAMERA = POSE2SIM_VIDEOS[0]  # the camera in front of the man, in which the bystander stands well apart from him


PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Of a folder that is taken for a video."""
ANIMATIONS = (".webp",)
"""Moving pictures that PyAV does not decode."""


def find_video(video: str, workspace: Path) -> Path:
    """The file, or folder of pictures, that `video` names.

    It is a path, a name in `workspace`/videos (with or without suffix), or `demo`.

    A file called `demo` in `workspace`/videos takes precedence over the recording that `demo` downloads. Raises
    UserError if there is no such file, or more than one.
    """
    folder = workspace / "videos"
    for path in (Path(video).expanduser(), folder / video):
        if path.is_file() or listed(path, PICTURES):
            return path
    found = sorted(folder / f"{video}{suffix}" for suffix in SUFFIXES if (folder / f"{video}{suffix}").is_file())
    if len(found) > 1:
        raise UserError(f"video={video} may mean {' or '.join(p.name for p in found)} in {folder}: add the suffix.")
    if found:
        return found[0]
    if video == DEMO:
        return fetch(DEMO_CAMERA)
    if Path(video).suffix or Path(video).is_absolute():
        raise UserError(f"there is no video {video!r}: neither that path nor {folder / video} is a file.")
    raise UserError(
        f"there is no video {video!r}: neither that path nor {folder / video}.mp4 (or with another suffix) is a file."
    )


def subject_name(video: str) -> str:
    """The subject's name: the file's stem, with characters replaced that are unsafe in folders and command lines.

    A name that had to be changed gets a hash of the original, so that `a b.mp4` and `a_b.mp4` are two subjects.
    """
    path = Path(video)
    stem = path.stem if path.suffix.lower() in SUFFIXES else path.name
    safe = re.sub(r"[^\w.-]+", "_", stem, flags=re.ASCII).strip("._-")
    return safe if safe == stem else f"{safe or 'video'}-{hashlib.sha256(stem.encode()).hexdigest()[:6]}"


@dataclasses.dataclass(frozen=True)
class VideoPicture:
    """One decoded picture of a video, upright and with square pixels."""

    index: int  # in the file, from 0
    seconds: float  # its time after the first picture's; videos of phones have no constant rate
    image: np.ndarray  # (H, W, 3) uint8 RGB


def count_pictures(path: Path) -> int | None:
    """How many pictures the file shows; None if it has no times. Raises UserError if it is not a video.

    Its packets are counted, without decoding them: a header counts pictures too that an edit list hides.
    """
    times = Timeline.of(path).times
    return None if times is None else len(times)


@dataclasses.dataclass(frozen=True)
class Timeline:
    """When a video shows its pictures."""

    times: Int[np.ndarray, "N"] | None
    """Presentation times of the N pictures, ascending, in the stream's unit; None if the file does not say."""
    cut_off: int
    """How many more pictures the header promises than the file holds."""

    @staticmethod
    def of(path: Path) -> "Timeline":
        """From the file's packets, without decoding them. Raises UserError if it is not a video."""
        with _opened(path) as container:
            stream = _stream(container)
            packets = [(packet.pts, packet.is_discard) for packet in container.demux(stream) if packet.size]
            cut_off = max(0, stream.frames - len(packets))
        shown = [pts for pts, hidden in packets if not hidden]
        if any(pts is None for pts in shown) or len(set(shown)) != len(shown):
            return Timeline(None, cut_off)
        return Timeline(np.sort(np.array(shown, np.int64)), cut_off)


def pictures_a_second(path: Path) -> float | None:
    """The video's mean rate (1/s); None if it does not say. Raises UserError if the file is not a video."""
    with _opened(path) as container:
        rate = _stream(container).average_rate
        return float(rate) if rate else None


def decode(path: Path, stop: int | None = None, notes: Notes | None = None) -> Iterator[VideoPicture]:
    """The pictures of a video in order of display, up to `stop` (excluded).

    A picture whose data are damaged is left out; the numbers of the others stay theirs.

    Args:
        path: the video.
        stop: the number to stop before.
        notes: gets what the user should know about the file.

    Raises UserError if the file is not a video, or nothing in it can be decoded.
    """
    notes = Notes() if notes is None else notes
    timeline = Timeline.of(path)
    times = timeline.times
    with _opened(path) as container:
        stream = _stream(container)
        stream.thread_type = "AUTO"
        to_rgb, index, first, seen = ToRgb(), -1, None, set()
        for frame in _frames(path, container, notes):
            index = _number(frame, times, index)
            first = (frame.time or 0.0) if first is None else first
            if stop is not None and index >= stop:
                break
            notes.look(frame)
            seen.add(index)
            yield _picture(stream, index, frame, to_rgb, first)
    if not seen and notes.damaged:
        raise UserError(f"{path}: nothing can be decoded ({notes.damaged[0]}): repair the video.")
    held = len(seen) if times is None else len(times)
    promised = held + timeline.cut_off
    if timeline.cut_off and (stop is None or stop > held):
        notes.add(f"cut off: it ends after {held} of the {promised} pictures that it promises")
    absent = sorted(set(range(held if stop is None else min(held, stop))) - seen)
    if absent:
        notes.absent(absent)


def sample(path: Path, indices: Sequence[int], notes: Notes | None = None) -> list[VideoPicture]:
    """The pictures with these numbers (ascending), without decoding the whole of a long video.

    A long video is searched by the times of its pictures, which its packets state; decoding starts at the key picture
    before. Pictures that cannot be decoded are left out. Raises UserError as `decode` does.
    """
    if not indices:
        return []
    times = Timeline.of(path).times if indices[-1] >= _SHORT else None
    if times is None:
        chosen = set(indices)
        return [picture for picture in decode(path, indices[-1] + 1, notes) if picture.index in chosen]
    notes = Notes() if notes is None else notes
    with _opened(path) as container:
        _stream(container).thread_type = "AUTO"
        to_rgb = ToRgb()
        found = [_seek(path, container, index, times, to_rgb, notes) for index in indices if index < len(times)]
    return [picture for picture in found if picture is not None]


def _seek(
    path: Path, container: av.container.InputContainer, index: int, times: np.ndarray, to_rgb: ToRgb, notes: Notes
) -> VideoPicture | None:
    """The picture with this number; None if it cannot be decoded."""
    stream, target = _stream(container), int(times[index])
    container.seek(target, stream=stream)
    for frame in _frames(path, container, notes):
        if frame.pts is not None and frame.pts >= target:
            notes.look(frame)
            first = float(times[0] * (stream.time_base or 1))
            return _picture(stream, index, frame, to_rgb, first) if frame.pts == target else None
    return None


def _number(frame: av.VideoFrame, times: np.ndarray | None, before: int) -> int:
    """The frame's number in the video: the place of its time among all times, or one more than that of the last."""
    if times is None or frame.pts is None:
        return before + 1
    place = int(np.searchsorted(times, frame.pts))
    return place if place < len(times) and times[place] == frame.pts else before + 1


def _frames(path: Path, container: av.container.InputContainer, notes: Notes) -> Iterator[av.VideoFrame]:
    """The next pictures, without those that cannot be decoded."""
    for packet in container.demux(_stream(container)):
        try:
            for frame in packet.decode():
                if frame.is_corrupt:
                    notes.damaged.append("its data are damaged")
                else:
                    yield frame
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            notes.damaged.append(error.strerror or str(error))


def _stream(container: av.container.InputContainer) -> av.VideoStream:
    """The film: not a cover picture or a preview, which some files have as their first stream."""
    stream = container.streams.best("video")
    assert isinstance(stream, av.VideoStream)  # `_opened` has looked
    return stream


def _picture(stream: av.VideoStream, index: int, frame: av.VideoFrame, to_rgb: ToRgb, first: float) -> VideoPicture:
    aspect = float(stream.sample_aspect_ratio or 1)
    image = upright(to_rgb(frame), display_matrix(frame), aspect)
    return VideoPicture(index, float(frame.time or 0) - first, image)


def _opened(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise UserError(f"{path} cannot be read as a video: {error.strerror or error}.") from None
    if not container.streams.video:
        container.close()
        raise UserError(f"{path} holds no video.")
    return container
