"""Decodes a video, and tells the pictures that are sure to be intact from those that are not."""

from collections.abc import Iterator
from pathlib import Path

import av
import av.container
import av.error

from preprocess.frames.container import film, opened
from preprocess.frames.timeline import Timeline

Numbered = tuple[int, av.VideoFrame | str]
"""A picture's number in the file, and its frame, or else a phrase on why it cannot be decoded."""


def frames_of(path: Path, timeline: Timeline) -> Iterator[Numbered]:
    """A video's pictures in order of display. Raises UserError if the file is not a video."""
    following = 0
    with opened(path) as container:
        film(container).thread_type = "AUTO"
        for index, frame in decoded(container, timeline):
            if isinstance(frame, str):
                break
            yield index, frame
            following = index + 1
        else:
            return
    with opened(path) as container:  # again from the start: with threads, an error is reported at a later picture
        film(container).thread_type = "NONE"
        yield from (each for each in decoded(container, timeline) if each[0] >= following)


def decoded(container: av.container.InputContainer, timeline: Timeline) -> Iterator[Numbered]:
    """The pictures from where a container stands, in order of display.

    After a damaged picture, decoders go on with pictures that are made from it, often without a complaint. All up to
    the next key picture, which is made from no other, therefore count as damaged.
    """
    following, damage, since = 0, None, None  # why pictures are damaged, and when the damaged one is shown
    for packet in container.demux(film(container)):
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            damage, since = error.strerror or str(error), packet.pts
            if timeline.times is None and packet.size:  # the picture that is lost counts, since nothing else tells
                yield following, damage
                following += 1
            continue
        for frame in frames:
            index = timeline.number(frame, following)
            if damage is not None:
                yield from ((lost, damage) for lost in range(following, index))
            if frame.is_corrupt:
                damage, since = "its data are damaged", frame.pts
            elif frame.key_frame and (since is None or frame.pts is None or frame.pts > since):  # one before comes late
                damage = since = None
            whole = damage is None or (frame.key_frame and not frame.is_corrupt)
            yield index, frame if whole or damage is None else damage
            following = index + 1
    if damage is not None and timeline.times is not None:
        yield from ((lost, damage) for lost in range(following, len(timeline.times)))
