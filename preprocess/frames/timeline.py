"""What a video says of its pictures: when they are shown, how wide their pixels are, and whether some are missing."""

import dataclasses
import functools
from fractions import Fraction
from pathlib import Path

import av
import av.container
import numpy as np
from jaxtyping import Int

from preprocess.frames.container import film, opened

_LATE = 1.0  # seconds that a video may end before its sound does, besides _SHARE of its duration
_SHARE = 0.02


@dataclasses.dataclass(frozen=True)
class Timeline:
    """What a file's header and packets say of its pictures; nothing is decoded."""

    times: Int[np.ndarray, "N"] | None
    """Presentation times of the N pictures, ascending, in `unit`; None if the file does not say, or two are equal."""
    unit: Fraction
    """Of time (s)."""
    aspect: Fraction
    """A pixel's width over its height."""
    cut: str | None
    """A phrase on how much is missing at the end; None if the file is as long as its header says."""

    @staticmethod
    def of(path: Path) -> "Timeline":
        """Reads a file; once while it stays the same. Raises UserError if it is not a video."""
        state = path.stat() if path.is_file() else None
        return Timeline._read(path, state and (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))

    @staticmethod
    @functools.lru_cache(maxsize=16)
    def _read(path: Path, identity: tuple[int, ...] | None) -> "Timeline":
        with opened(path) as container:
            stream = film(container)
            packets = [packet for packet in container.demux(stream) if packet.size]
            shown = [packet.pts for packet in packets if not packet.is_discard]  # the others an edit list hides
            reached = max((time for packet in packets if (time := packet.pts or packet.dts) is not None), default=None)
            cut = _cut(container, stream, len(packets), len(shown), reached)
            unit, aspect = Fraction(stream.time_base or 1), Fraction(stream.sample_aspect_ratio or 1)
        if any(time is None for time in shown) or len(set(shown)) != len(shown):
            return Timeline(None, unit, aspect, cut)
        return Timeline(np.sort(np.array(shown, np.int64)), unit, aspect, cut)

    def number(self, frame: av.VideoFrame, following: int) -> int:
        """A frame's number in the video: the place of its time among all, or `following` if that is unknown."""
        if self.times is None or frame.pts is None:
            return following
        place = int(np.searchsorted(self.times, frame.pts))
        return place if place < len(self.times) and self.times[place] == frame.pts else following

    def seconds(self, frame: av.VideoFrame, first: float) -> float:
        """A frame's time after the first picture's (s); `first` is the time of that one where the file does not say."""
        if self.times is not None and len(self.times):
            first = float(self.times[0] * self.unit)
        return float(frame.time or 0) - first


def _cut(
    container: av.container.InputContainer, stream: av.VideoStream, held: int, shown: int, reached: int | None
) -> str | None:
    """`Timeline.cut`.

    Args:
        held: how many pictures the file holds.
        shown: how many of them are not hidden.
        reached: when the last of them is shown, in the stream's unit; None if unknown.
    """
    count = stream.frames if container.format.name.startswith("mov") else 0  # AVI also counts repeated pictures
    if count:
        return f"ends after {shown} of the {shown + count - held} pictures that it promises" if held < count else None
    unit = Fraction(stream.time_base or 1)
    promised = float(stream.duration * unit) if stream.duration else (container.duration or 0) / av.time_base
    seconds = None if reached is None else float((reached - (stream.start_time or 0)) * unit)
    if seconds is not None and seconds < promised - max(_LATE, _SHARE * promised):
        return f"ends after {seconds:.1f} of the {promised:.1f} seconds that it promises"
    return None
