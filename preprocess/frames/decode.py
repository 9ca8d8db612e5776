"""Video files: finding one by name, naming its subject, and decoding its pictures."""

import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import av.container

from hashhuman.errors import UserError
from hashhuman.io.assets import fetch
from hashhuman.io.listing import listed
from preprocess.assets import POSE2SIM_VIDEOS
from preprocess.frames.colour import ToRgb
from preprocess.frames.container import VideoPicture, film, opened, picture
from preprocess.frames.intact import decoded, frames_of
from preprocess.frames.notes import Notes
from preprocess.frames.timeline import Timeline

SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".gif", ".webp")
_SHORT = 300  # pictures: up to here, decoding from the start is as fast as seeking, and exact
DEMO = "demo"
DEMO_CAMERA = POSE2SIM_VIDEOS[0]  # the camera in front of the man, in which the bystander stands well apart from him

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Of a folder that is taken for a video."""
ANIMATIONS = (".webp",)
"""Moving pictures that PyAV does not decode."""
EVERY = range(sys.maxsize)
"""Of the numbers of pictures: all."""


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


def count_pictures(path: Path) -> int | None:
    """How many pictures the file shows; None if it has no times. Raises UserError if it is not a video.

    Its packets are counted, without decoding them: a header counts pictures too that an edit list hides.
    """
    times = Timeline.of(path).times
    return None if times is None else len(times)


def pictures_a_second(path: Path) -> float | None:
    """The video's mean rate (1/s); None if it does not say. Raises UserError if the file is not a video."""
    with opened(path) as container:
        rate = film(container).average_rate
        return float(rate) if rate else None


def decode(path: Path, selected: range = EVERY, notes: Notes | None = None) -> Iterator[VideoPicture]:
    """The selected pictures of a video in order of display.

    Damaged pictures, and those that are made from them, are left out, unless `notes` refuses them; the numbers of the
    others stay theirs.

    Args:
        path: the video.
        selected: numbers of pictures, ascending.
        notes: gets what the user should know about the file.

    Raises UserError if the file is not a video, or nothing in it can be decoded.
    """
    notes = Notes() if notes is None else notes
    timeline, to_rgb = Timeline.of(path), ToRgb()
    first, damage, index = None, None, -1
    for index, frame in frames_of(path, timeline):
        if index >= selected.stop:
            break
        if isinstance(frame, str):
            damage = damage or frame
            if index in selected:
                notes.lost(path, index, frame)
            continue
        first = float(frame.time or 0) if first is None else first
        if index in selected:
            notes.look(frame)
            yield picture(path, frame, index, timeline.seconds(frame, first), timeline.aspect, to_rgb)
    if first is None and damage:
        raise UserError(f"{path}: nothing can be decoded ({damage}): repair the video.")
    if timeline.cut and index + 1 < selected.stop:
        notes.cut(path, timeline.cut)


def sample(path: Path, indices: Sequence[int], notes: Notes | None = None) -> list[VideoPicture]:
    """The pictures with these numbers (ascending), without decoding the whole of a long video.

    A long video is searched by the times of its pictures, which its packets state; decoding starts at the key picture
    before. Damaged pictures are left out. Raises UserError as `decode` does.
    """
    if not indices:
        return []
    timeline = Timeline.of(path)
    if indices[-1] < _SHORT or timeline.times is None:
        chosen = set(indices)
        return [found for found in decode(path, range(indices[-1] + 1), notes) if found.index in chosen]
    notes = Notes() if notes is None else notes
    with opened(path) as container:
        film(container).thread_type = "AUTO"
        to_rgb = ToRgb()
        known = [index for index in indices if index < len(timeline.times)]
        found = [_seek(path, container, index, timeline, to_rgb, notes) for index in known]
    return [each for each in found if each is not None]


def _seek(
    path: Path, container: av.container.InputContainer, index: int, timeline: Timeline, to_rgb: ToRgb, notes: Notes
) -> VideoPicture | None:
    """The picture with this number; None if it is damaged."""
    assert timeline.times is not None
    container.seek(int(timeline.times[index]), stream=film(container))
    for number, frame in decoded(container, timeline):
        if number < index:
            continue
        if isinstance(frame, str):
            notes.lost(path, index, frame)
        elif number == index:
            notes.look(frame)
            return picture(path, frame, index, timeline.seconds(frame, 0), timeline.aspect, to_rgb)
        break
    return None
