"""Video files: finding one by name, naming its subject, and decoding its pictures."""

import contextlib
import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import av.container
import av.error

from hashhuman.errors import UserError
from hashhuman.io.assets import fetch
from preprocess.assets import POSE2SIM_VIDEOS
from preprocess.frames.container import VideoPicture, opened, picture
from preprocess.frames.intact import intact_frames

SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".gif")
_SHORT = 300  # pictures: up to here, decoding from the start is as fast as seeking, and exact
DEMO = "demo"
DEMO_CAMERA = POSE2SIM_VIDEOS[0]  # the camera in front of the man, in which the bystander stands well apart from him


def find_video(video: str, workspace: Path) -> Path:
    """The file that `video` names: a path, a name in `workspace`/videos (with or without suffix), or `demo`.

    A file called `demo` in `workspace`/videos takes precedence over the recording that `demo` downloads. Raises
    UserError if there is no such file, or more than one.
    """
    folder = workspace / "videos"
    for path in (Path(video).expanduser(), folder / video):
        if path.is_file():
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


def count_pictures(path: Path) -> int | None:
    """How many pictures the file's header promises; None if it does not say. Raises UserError if it is not a video."""
    with opened(path) as container:
        return container.streams.video[0].frames or None


def pictures_a_second(path: Path) -> float | None:
    """The video's mean rate (1/s); None if it does not say. Raises UserError if the file is not a video."""
    with opened(path) as container:
        rate = container.streams.video[0].average_rate
        return float(rate) if rate else None


def decode(path: Path, stop: int | None = None, strict: bool = True) -> Iterator[VideoPicture]:
    """The pictures of a video in order of display, up to `stop` (excluded).

    Raises UserError if the file is not a video, and with `strict` if a picture cannot be decoded. Without `strict`, the
    damaged pictures and those that are made from them are left out; the numbers of the others count them.
    """
    following = 0
    try:
        with opened(path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in itertools.islice(_frames(path, container), stop):
                yield picture(path, stream, following, frame)
                following += 1
        return
    except Undecodable:
        if strict:
            raise
    for index, stream, frame in intact_frames(path):  # again from the start, since an error is reported late
        if following <= index < (index + 1 if stop is None else stop):
            yield picture(path, stream, index, frame)


def sample(path: Path, indices: Sequence[int]) -> list[VideoPicture]:
    """The pictures with these numbers (ascending), without decoding the whole of a long video.

    A long video is searched by time: the mean rate turns a number into a time, and decoding starts at the key picture
    before it. In a video with a varying rate, or without timestamps, the result is therefore only near the number.
    Damaged pictures are left out. Raises UserError if the file is not a video.
    """
    if not indices:
        return []
    if indices[-1] < _SHORT:
        chosen = set(indices)
        return [found for found in decode(path, indices[-1] + 1, strict=False) if found.index in chosen]
    with opened(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        found = [_seek(path, container, index) for index in indices]
    return [each for each in found if each is not None]


def _seek(path: Path, container: av.container.InputContainer, index: int) -> VideoPicture | None:
    """The picture at the time that the number stands for, or the last one before the end."""
    stream = container.streams.video[0]
    rate, unit = float(stream.average_rate or 25), float(stream.time_base or 1)
    target = (stream.start_time or 0) + round(index / rate / unit)
    container.seek(target, stream=stream)
    frame = None
    with contextlib.suppress(Undecodable):  # the last one before it has to do
        for frame in _frames(path, container, index):
            if frame.pts is None or (frame.pts - target) * unit > -0.5 / rate:
                break
    return None if frame is None else picture(path, stream, index, frame)


def _frames(path: Path, container: av.container.InputContainer, first: int = 0) -> Iterator[av.VideoFrame]:
    """The next pictures; `first` is the number of the first. Raises UserError if one cannot be decoded."""
    frames = container.decode(container.streams.video[0])
    for index in itertools.count(first):
        try:
            frame = next(frames)
        except (StopIteration, av.error.EOFError):
            return
        except av.error.FFmpegError as error:
            raise Undecodable(path, index, error.strerror or str(error)) from None
        if frame.is_corrupt:
            raise Undecodable(path, index, "its data are damaged")
        yield frame


class Undecodable(UserError):
    """A picture of a video is damaged."""

    def __init__(self, path: Path, index: int, reason: str) -> None:
        super().__init__(
            f"{path}: picture {index} cannot be decoded ({reason}): repair the video, use the part before it with "
            f"preprocess.frames.stop={index}, or leave damaged pictures out with preprocess.frames.strict=false."
        )
