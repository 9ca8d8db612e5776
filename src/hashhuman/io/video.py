"""Writes videos."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.io.files import atomic_path
from hashhuman.io.packages import require_package


def write_video(path: Path, frames: Iterable[np.ndarray], fps: int) -> None:
    """Writes a video as H.264 (yuv420p), which browsers and players can open.

    Args:
        path: the mp4 file.
        frames: 8-bit RGB frames (H, W, 3), all of one size with even H and W.
        fps: frames per second.

    Raises:
        UserError: if the package `av` is missing.
    """
    require_av(path.name)
    import av  # a large library that only this function needs

    with atomic_path(path) as temporary, av.open(str(temporary), "w", options={"movflags": "+faststart"}) as container:
        stream: Any = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=fps, options={"crf": "18"})
                stream.height, stream.width, stream.pix_fmt = *frame.shape[:2], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())


def require_av(what: str) -> None:
    """Raises UserError if videos cannot be written; `what` is the subject of the message."""
    require_package("av", what, "`pip install av`, or leave the video out with eval.products.turntable=null")
