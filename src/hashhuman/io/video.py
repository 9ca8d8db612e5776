"""Writes videos and animations, and makes small ones of them, with imageio."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from hashhuman.io.files import atomic_path
from hashhuman.io.packages import require_package

Frames = Iterable[UInt8[np.ndarray, "H W 3"]]


def write_video(path: Path, frames: Frames, fps: int) -> None:
    """Writes a video, whole or not at all. The same frames make the same file, bit for bit.

    Args:
        path: the file. `.mp4` is H.264 (yuv420p, constant quality 18, header first), which browsers and players open.
            `.gif` is an animation that repeats for ever, of at most 256 colours a frame; its frames last whole
            hundredths of a second, and at least two, since browsers slow down shorter ones.
        frames: at least one 8-bit RGB frame, all of one size; for mp4 with even H and W.
        fps: frames per second.

    Raises:
        UserError: if the package `av` or `imageio` is missing, or the file cannot be written.
        ValueError: for another suffix.
    """
    path = Path(path)
    if path.suffix not in _WRITERS:
        raise ValueError(f"{path}: a video is one of {', '.join(_WRITERS)}")
    require_video(path.name)
    with atomic_path(path) as temporary:
        _WRITERS[path.suffix](temporary, frames, fps)


def moving_picture(path: Path, height: int = 256, most: int = 48) -> tuple[bytes, int, int]:
    """A video as a small gif for pages that play no videos: its content, height and width (pixels).

    Args:
        path: an mp4 or gif that `write_video` has written.
        height: the greatest height (pixels).
        most: the most frames, evenly spaced; they last longer instead.
    """
    import cv2
    import imageio.v3 as iio

    imopen: Any = iio.imopen
    with imopen(path, "r", plugin="pillow" if path.suffix == ".gif" else "pyav") as reader:
        frames = [frame[..., :3] for frame in reader.iter()]
        meta = reader.metadata(index=0) if path.suffix == ".gif" else reader.metadata()
    milliseconds = meta["duration"] if path.suffix == ".gif" else 1000 / meta["fps"]
    step = -(-len(frames) // most)
    scale = min(height / frames[0].shape[0], 1.0)
    size = (max(round(frames[0].shape[1] * scale), 1), round(frames[0].shape[0] * scale))
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames[::step]]
    duration = max(20, round(milliseconds * step, -1))
    content = iio.imwrite("<bytes>", np.stack(small), extension=".gif", plugin="pillow", duration=duration, loop=0)
    return content, size[1], size[0]


def require_video(what: str) -> None:
    """Raises UserError if videos cannot be written; `what` is the subject of the message."""
    for module in ("av", "imageio.plugins.pyav"):
        package = module.partition(".")[0]
        require_package(
            module, what, f"`pip install {package}`, or leave the video out with eval.products.turntable=null"
        )


def _write_mp4(path: Path, frames: Frames, fps: int) -> None:
    import imageio.v3 as iio  # here, since few commands write a video

    imopen: Any = iio.imopen  # its annotations know no plugin by name
    writer = imopen(path, "w", plugin="pyav", options={"movflags": "+faststart"})
    with writer:
        writer.init_video_stream("libx264", fps=fps, pixel_format="yuv420p")
        # imageio has no parameter for options of the encoder, and drops those in `options` above: PyAV opens the
        # encoder before it looks at them.
        # With AVX-512, x264's macroblock tree depends on what memory held before, and so does the file.
        writer._video_stream.options = {"crf": "18", "x264-params": "mbtree=0"}
        for frame in frames:
            writer.write_frame(frame)


def _write_gif(path: Path, frames: Frames, fps: int) -> None:
    import imageio.v3 as iio

    milliseconds = 10 * max(2, round(100 / fps))
    imopen: Any = iio.imopen
    with imopen(path, "w", plugin="pillow") as writer:
        for frame in frames:
            writer.write(frame, is_batch=False, duration=milliseconds, loop=0)


_WRITERS: dict[str, Callable[[Path, Frames, int], None]] = {".mp4": _write_mp4, ".gif": _write_gif}
