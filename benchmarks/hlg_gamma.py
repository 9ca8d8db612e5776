"""What the two ways to apply HLG's display gamma make of a clip of colour bars, and of a person's colours.

    python benchmarks/hlg_gamma.py bars.mov

BT.2100 raises the luminance to the power 1.2, and so keeps hues. Some converters raise each channel by itself, which
makes colours stronger. A file that was coded in one way and is read in the other has other colours, but for greys.
"""

import sys
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.phone_clip import LUMINANCE, TO_2020, WHITE  # noqa: E402

COLOURS = {"skin": (224, 172, 140), "dark skin": (90, 60, 45), "blue cloth": (40, 60, 120), "red cloth": (150, 40, 40)}


def scene(signal: np.ndarray) -> np.ndarray:
    """Light of the scene for HLG's signal (BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def levels(display: np.ndarray) -> np.ndarray:
    """8-bit levels for a display of BT.1886, of linear BT.2020 in units of HDR's peak."""
    linear = (display / WHITE) @ np.linalg.inv(TO_2020).T
    return np.rint(255 * linear.clip(0, 1) ** (1 / 2.4)).astype(int)


def by_luminance(light: np.ndarray) -> np.ndarray:
    """BT.2100's OOTF."""
    return light * (light @ LUMINANCE)[..., None] ** 0.2


def by_pyav(frame: av.VideoFrame) -> np.ndarray:
    """8-bit levels (H, W, 3) of PyAV's own conversion to Y'CbCr of BT.709, whose matrix is then undone."""
    named = {
        "dst_colorspace": Colorspace.ITU709, "dst_color_range": ColorRange.MPEG,
        "dst_color_trc": ColorTrc.BT709, "dst_color_primaries": ColorPrimaries.BT709,
    }  # fmt: skip
    y, cb, cr = VideoReformatter().reformat(frame, format="yuv444p", **named).to_ndarray().astype(float)
    luma, blue, red = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    r, b = luma + 1.5748 * red, luma + 1.8556 * blue
    rgb = np.stack([r, (luma - 0.2126 * r - 0.0722 * b) / 0.7152, b], -1)
    return np.rint(255 * rgb).clip(0, 255).astype(int)


def main(path: str) -> None:
    """Prints the colours of the bars in the middle row, and of the known colours."""
    with av.open(path) as container:
        frame = next(container.decode(video=0))
    signal = VideoReformatter().reformat(frame, format="rgb48le").to_ndarray() / 65280
    middle = signal.shape[0] // 2
    row, theirs = scene(signal[middle, 4::8].clip(0, 1)), by_pyav(frame)[middle, 4::8]
    print(f"| where | by luminance (BT.2100) | PyAV {av.__version__} | each channel by itself |\n|---|---|---|---|")
    seen = set()
    for column, light in enumerate(row):
        bar = tuple(levels(by_luminance(light)).tolist()), tuple(levels(light**1.2).tolist())
        if bar not in seen:
            print(f"| column {4 + 8 * column} | {bar[0]} | {tuple(theirs[column].tolist())} | {bar[1]} |")
        seen.add(bar)
    for name, colour in COLOURS.items():
        display = WHITE * (np.array(colour) / 255) ** 2.4 @ TO_2020.T
        light = display * (display @ LUMINANCE) ** (1 / 1.2 - 1)
        print(f"| {name}, coded by BT.2100 | {colour} | | {tuple(levels(light**1.2).tolist())} |")


if __name__ == "__main__":
    main(sys.argv[1])
