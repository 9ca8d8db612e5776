"""Opens video files, and turns decoded frames into pictures. A video may come from anybody."""

import contextlib
import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.error
import numpy as np

from hashhuman.errors import UserError
from hashhuman.io import limits
from hashhuman.io.packages import cause_of
from preprocess.frames.colour import ToRgb
from preprocess.frames.orientation import display_matrix, upright

# Containers of recordings. Others, such as playlists, are only lists of further files, which FFmpeg would open.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,gif,ogg,flv,h264,hevc,m4v"
_ASPECTS = (Fraction(1, 8), Fraction(8))  # of a pixel, the narrowest and the widest


@dataclasses.dataclass(frozen=True)
class VideoPicture:
    """One decoded picture of a video, upright and with square pixels."""

    index: int  # in the file, from 0
    seconds: float  # its time after the first picture's; videos of phones have no constant rate
    image: np.ndarray  # (H, W, 3) uint8 RGB


@contextlib.contextmanager
def opened(path: Path) -> Iterator[av.container.InputContainer]:
    """A video file, opened for reading.

    Raises UserError if it is not a recording, and for whatever FFmpeg cannot read in the body of the `with`.
    """
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    try:
        with av.open(f"file:{path.absolute()}", options=options) as container:
            if not container.streams.video:
                raise UserError(f"{path} holds no video.")
            codec = film(container).codec_context
            if codec is None:
                raise UserError(f"{path} cannot be read as a video: there is no decoder for it.")
            if codec.height and codec.width:
                _check_pixels(path, codec.height, codec.width)
            yield container
    except av.error.ArgumentError:  # what FFmpeg says of a format that is not listed
        raise UserError(f"{path} cannot be read as a video: it is none of {_FORMATS.replace(',', ', ')}.") from None
    except (av.error.FFmpegError, OSError, ValueError, OverflowError, ZeroDivisionError, MemoryError) as error:
        raise UserError(f"{path} cannot be read as a video: {_reason(error)}.") from None


def film(container: av.container.InputContainer) -> av.VideoStream:
    """The film: not a cover picture or a preview, which some files have as their first stream."""
    stream = container.streams.best("video")
    return stream if isinstance(stream, av.VideoStream) else container.streams.video[0]


def _reason(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or cause_of(error)


def _check_pixels(path: Path, height: int, width: int) -> None:
    try:
        limits.check_pixels(height, width)
    except ValueError as error:
        raise UserError(f"{path} cannot be read as a video: {error}.") from None


def picture(
    path: Path, frame: av.VideoFrame, index: int, seconds: float, aspect: Fraction, to_rgb: ToRgb
) -> VideoPicture:
    """A decoded frame as an upright picture with square pixels. Raises UserError if it would be too large.

    Args:
        path: the video.
        frame: of it.
        index, seconds: the picture's.
        aspect: a coded pixel's width over its height.
        to_rgb: converts the frame.
    """
    if not _ASPECTS[0] <= aspect <= _ASPECTS[1]:
        raise UserError(f"{path} has pixels {float(aspect):.3g} times as wide as high: convert it to square pixels.")
    _check_pixels(path, frame.height, round(frame.width * aspect))
    return VideoPicture(index, seconds, upright(to_rgb(frame), display_matrix(frame), float(aspect)))
