"""Converts decoded frames of a video to 8-bit RGB of standard dynamic range, whatever their coding.

The matrix and range are those that the file states. Without a statement, high definition is BT.709 and smaller pictures
are BT.601, as players have it. Frames with the transfer functions of BT.2100 (HLG and PQ, which phones record) are
converted to BT.709: reference white, 203 cd/m2 (BT.2408), becomes white, and what is brighter is clipped to it.
"""

import functools
from collections.abc import Callable

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, VideoReformatter
from jaxtyping import Float, UInt8, UInt16

HDR: dict[int, str] = {ColorTrc.ARIB_STD_B67: "HLG", ColorTrc.SMPTE2084: "PQ"}
WHITE = 203.0  # cd/m2: reference white of HDR (BT.2408)
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2  # of the display that HLG is meant for (BT.2100, table 5)
_DISPLAY = 2.4  # exponent of a display of standard range (BT.1886)
_SWSCALE_WHITE = 255 * 256  # swscale's 16 bits of R'G'B' for the white of Y'CbCr, not 65535
_UNKNOWN = 2  # how ITU-T H.273 codes an unspecified matrix, transfer or primaries
_HIGH_DEFINITION = (1280, 577)  # longer and shorter side from which pictures are high definition
_D65 = (0.3127, 0.3290)
_BT709, _BT2020, _P3 = (
    ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
)
"""Chromaticities of red, green and blue (BT.709, BT.2020, SMPTE EG 432-1); all have the white D65."""


class ToRgb:
    """Converts frames, one after the other; not for several threads at once."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "H W 3"]:
        """The frame as RGB, in its coded orientation and shape."""
        name = dynamic_range(frame)
        coded = self.reformatter.reformat(
            frame, format="rgb24" if name is None else "rgb48le", src_colorspace=_matrix(frame)
        ).to_ndarray()
        if name is None:
            return coded
        return standard_range(coded, name, frame.color_primaries, 65535 if frame.format.is_rgb else _SWSCALE_WHITE)


def standard_range(
    coded: UInt16[np.ndarray, "H W 3"], name: str, primaries: int, white: int = 65535
) -> UInt8[np.ndarray, "H W 3"]:
    """R'G'B' of HDR as R'G'B' of BT.709.

    Args:
        coded: the signal.
        name: `HLG` or `PQ`.
        primaries: as ITU-T H.273 numbers them; unknown ones are taken to be BT.2020's.
        white: the value of `coded` that stands for 1.
    """
    known: dict[int, tuple] = {ColorPrimaries.SMPTE432: _P3, ColorPrimaries.BT709: _BT709}
    chromaticities = known.get(primaries, _BT2020)
    light = np.take(_light(name, white), coded)
    if name == "HLG":  # so far the light of the scene; a display raises its luminance to a power
        weights = _xyz(chromaticities)[1:2].astype(np.float32)
        light *= cv2.pow(cv2.transform(light, weights), _HLG_GAMMA - 1)[..., None] * (_HLG_PEAK / WHITE)
    matrix = np.linalg.inv(_xyz(_BT709)) @ _xyz(chromaticities)
    linear = cv2.transform(light, matrix.astype(np.float32)).clip(0, 1)
    return cv2.convertScaleAbs(cv2.pow(linear, 1 / _DISPLAY), alpha=255)


@functools.cache
def _light(name: str, white: int) -> Float[np.ndarray, "65536"]:
    """Light for each value of the signal: HLG's of the scene in [0, 1], PQ's of the display in units of `WHITE`."""
    decode: Callable[[np.ndarray], np.ndarray] = {"HLG": _hlg_scene, "PQ": _pq_display}[name]
    return decode((np.arange(65536) / white).clip(0, 1)).astype(np.float32)


def _hlg_scene(signal: np.ndarray) -> np.ndarray:
    """The inverse of HLG's opto-electronic transfer function (BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def _pq_display(signal: np.ndarray) -> np.ndarray:
    """PQ's electro-optical transfer function (BT.2100, table 4)."""
    m1, m2 = 2610 / 16384, 2523 / 32
    c1, c2, c3 = 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    return 10000 / WHITE * ((root - c1).clip(0) / (c2 - c3 * root)) ** (1 / m1)


def _xyz(chromaticities: tuple[tuple[float, float], ...]) -> Float[np.ndarray, "3 3"]:
    """The matrix from linear RGB to CIE XYZ."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in (*chromaticities, _D65)]).T
    return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])


def dynamic_range(frame: av.VideoFrame) -> str | None:
    """`HLG` or `PQ` for a frame of high dynamic range; None for any other."""
    return HDR.get(frame.color_trc)


def _matrix(frame: av.VideoFrame) -> Colorspace | None:
    """The matrix from Y'CbCr to RGB that a frame without a statement is taken to have; None: as the frame states."""
    if frame.colorspace != _UNKNOWN or frame.format.is_rgb:
        return None
    if frame.color_primaries == ColorPrimaries.BT2020:
        return Colorspace.BT2020
    if frame.color_primaries == ColorPrimaries.BT709:
        return Colorspace.ITU709
    width, height = _HIGH_DEFINITION
    large = max(frame.width, frame.height) >= width or min(frame.width, frame.height) >= height
    return Colorspace.ITU709 if large else Colorspace.ITU601
