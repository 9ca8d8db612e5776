"""The intact pictures of a damaged video, and where a cut video ends."""

import bisect
from collections.abc import Iterator
from pathlib import Path

import av
import av.error

from preprocess.frames.container import opened

_LATE = 1.0  # seconds that a video may end before its sound does, besides _SHARE of its duration
_SHARE = 0.02


def intact_frames(path: Path) -> Iterator[tuple[int, av.VideoStream, av.VideoFrame]]:
    """The frames that are sure to be intact, in order of display, with their numbers in the file and the video stream.

    After a damaged picture, decoders go on with pictures that are made from it, often without a complaint. All are
    therefore left out up to the next key picture, which is made from no other. A frame's number is the rank of its time
    among the times of all pictures in the file, so that it counts those that are left out.

    Raises UserError if the file is not a video.
    """
    times = _display_times(path)
    with opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"  # with threads, an error is reported at a later picture
        damaged, following = False, 0
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                damaged = True
                following += not times  # the picture that is lost counts, if nothing else tells
                continue
            for frame in frames:
                damaged = frame.is_corrupt or (damaged and not frame.key_frame)
                rank = bisect.bisect_left(times, frame.pts) if times and frame.pts is not None else 0
                index = max(rank, following)  # two pictures may have one time
                following = index + 1
                if not damaged:
                    yield index, stream, frame


def _display_times(path: Path) -> list[int]:
    """The times of all pictures in a file, ascending; empty if some have none. Nothing is decoded."""
    with opened(path) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size and not p.is_discard]
    times = [packet.pts for packet in packets if packet.pts is not None]
    return sorted(times) if len(times) == len(packets) else []


def shortfall(path: Path, pictures: int, seconds: float) -> str | None:
    """A phrase on how much of a cut video is missing; None if it is as long as its header says.

    Args:
        path: the video.
        pictures: how many it turned out to have.
        seconds: when the last of them is shown.

    Raises UserError if the file is not a video.
    """
    with opened(path) as container:
        stream = container.streams.video[0]
        own = stream.duration and float(stream.duration * (stream.time_base or 0))
        promised = own or (container.duration or 0) / av.time_base
        start = float((stream.start_time or 0) * (stream.time_base or 0))
        count = stream.frames if container.format.name.startswith("mov") else 0  # AVI also counts repeated pictures
    if pictures < count:
        return f"ends after {pictures} of the {count} pictures that it promises"
    if seconds - start < promised - max(_LATE, _SHARE * promised):
        return f"ends after {seconds - start:.1f} of the {promised:.1f} seconds that it promises"
    return None
