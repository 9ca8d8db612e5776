"""Small videos, made with PyAV."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TICK = Fraction(1, 1000)  # seconds


def grey_levels(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Pictures (H, W, 3) that get brighter by ten, with a white corner at the top left."""
    pictures = [np.full((height, width, 3), 30 + 10 * i, np.uint8) for i in range(count)]
    for picture in pictures:
        picture[:16, :16] = 255
    return pictures


def write_video(
    path: Path,
    pictures: Sequence[np.ndarray],
    ticks: Sequence[int] | None = None,
    faststart: bool = False,
    key_every: int = 250,
) -> Path:
    """A video; `ticks` are times in milliseconds, 40 apart unless given; `faststart` puts the index first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"} if faststart else {}) as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"crf": "10", "bf": "0", "g": str(key_every), "sc_threshold": "0"}
        )
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = TICK
        for picture, tick in zip(pictures, ticks or range(0, 40 * len(pictures), 40)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = tick, TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn(path: Path) -> None:
    """Has an mp4 file's header say that the pictures are to be shown a quarter clockwise, as phones do."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40  # version 0: the 3 x 3 matrix of 16.16 and 2.30 fixed point numbers
    matrix = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    data[start : start + 36] = b"".join(n.to_bytes(4, "big", signed=True) for n in matrix)
    path.write_bytes(data)


def packets(path: Path) -> list[tuple[int, int]]:
    """Where each picture's data lie in the file: offset and size."""
    with av.open(str(path)) as container:
        return [(p.pos, p.size) for p in container.demux(video=0) if p.size and p.pos is not None]


def damage(path: Path, picture: int) -> None:
    """Overwrites the data of one picture."""
    offset, size = packets(path)[picture]
    data = bytearray(path.read_bytes())
    data[offset : offset + size] = bytes(np.random.default_rng(0).integers(0, 256, size, np.uint8))
    path.write_bytes(data)
