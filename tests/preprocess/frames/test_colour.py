"""Colours of decoded frames against bars of known levels; HDR against the formulas of ITU-R BT.2100."""

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from preprocess.frames.colour import ToRgb, dynamic_range

BARS = np.array([[191, 191, 191], [191, 191, 0], [0, 191, 191], [0, 191, 0], [191, 0, 191], [191, 0, 0], [0, 0, 191],
                 [16, 16, 16], [235, 235, 235], [224, 172, 140], [90, 60, 45], [64, 96, 48]])  # fmt: skip
WEIGHTS = {Colorspace.ITU601: (0.299, 0.114), Colorspace.ITU709: (0.2126, 0.0722), Colorspace.BT2020: (0.2627, 0.0593)}
"""Of red and blue in luma (BT.601, BT.709, BT.2020)."""
TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""Linear BT.709 to linear BT.2020 (BT.2087)."""


def frame(rgb: np.ndarray, matrix: Colorspace, bits: int, full: bool, size=(48, 384)) -> av.VideoFrame:
    """Bars as a Y'CbCr frame without statements, from R'G'B' in [0, 1], by BT.709's and BT.2100's definitions."""
    red, blue = WEIGHTS[matrix]
    luma = rgb @ [red, 1 - red - blue, blue]
    cb, cr = (rgb[:, 2] - luma) / (2 - 2 * blue), (rgb[:, 0] - luma) / (2 - 2 * red)
    scale = 1 << (bits - 8)
    if full:
        top = (1 << bits) - 1
        codes = np.stack([luma * top, cb * top + 128 * scale, cr * top + 128 * scale])
    else:
        codes = np.stack([(219 * luma + 16) * scale, (224 * cb + 128) * scale, (224 * cr + 128) * scale])
    planes = np.repeat(codes.round().clip(0, (1 << bits) - 1), size[1] // len(rgb), axis=1)
    planes = np.repeat(planes[:, None], size[0], 1).astype(np.uint8 if bits == 8 else np.uint16)
    made = av.VideoFrame(planes.shape[2], planes.shape[1], "yuv444p" if bits == 8 else "yuv444p10le")
    for plane, values in zip(made.planes, planes):
        padded = np.zeros((plane.height, plane.line_size // values.itemsize), values.dtype)
        padded[:, : plane.width] = values
        plane.update(padded.tobytes())
    made.color_range = ColorRange.JPEG if full else ColorRange.MPEG
    return made


def seen(picture: np.ndarray, count: int = len(BARS)) -> np.ndarray:
    width = picture.shape[1] // count
    return picture[picture.shape[0] // 2, width // 2 :: width][:count].astype(int)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("matrix", list(WEIGHTS))
def test_bars_of_every_matrix_depth_and_range(matrix, bits, full):
    made = frame(BARS / 255, matrix, bits, full)
    made.colorspace = matrix
    assert np.abs(seen(ToRgb()(made)) - BARS).max() <= 2


@pytest.mark.parametrize(
    ("size", "primaries", "matrix"),
    [
        ((48, 384), 2, Colorspace.ITU601),
        ((480, 720), 2, Colorspace.ITU601),
        ((576, 720), 2, Colorspace.ITU601),
        ((720, 1280), 2, Colorspace.ITU709),
        ((1920, 1080), 2, Colorspace.ITU709),
        ((960, 720), 2, Colorspace.ITU709),
        ((48, 384), ColorPrimaries.BT709, Colorspace.ITU709),
        ((48, 384), ColorPrimaries.BT2020, Colorspace.BT2020),
    ],
)
def test_what_the_file_does_not_state_is_taken_as_players_take_it(size, primaries, matrix):
    made = frame(BARS / 255, matrix, 8, False, size)
    made.color_primaries = primaries
    assert made.colorspace == 2
    assert np.abs(seen(ToRgb()(made)) - BARS).max() <= 2


def hlg(nits: np.ndarray) -> np.ndarray:
    """HLG's signal for display light (cd/m2, linear BT.2020) on a display of 1000 cd/m2: BT.2100, table 5."""
    display = nits / 1000
    luminance = display @ [0.2627, 0.6780, 0.0593]
    scene = display * np.where(luminance > 0, luminance, 1)[:, None] ** (1 / 1.2 - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log((12 * scene - b).clip(1e-9)) + c)


def pq(nits: np.ndarray) -> np.ndarray:
    """PQ's signal for display light (cd/m2): BT.2100, table 4."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    y = (nits / 10000) ** m1
    return ((c1 + c2 * y) / (1 + c3 * y)) ** m2


@pytest.mark.parametrize(("encode", "transfer"), [(hlg, ColorTrc.ARIB_STD_B67), (pq, ColorTrc.SMPTE2084)])
def test_hdr_becomes_what_it_was_before(encode, transfer):
    """Bars as a display of BT.1886 shows them, 203 cd/m2 being white (BT.2408), then coded as HDR."""
    nits = 203 * (BARS / 255) ** 2.4 @ TO_2020.T
    made = frame(encode(nits), Colorspace.BT2020, 10, False)
    made.colorspace, made.color_trc, made.color_primaries = Colorspace.BT2020, transfer, ColorPrimaries.BT2020
    assert dynamic_range(made) == ("HLG" if encode is hlg else "PQ")
    read = seen(ToRgb()(made))
    assert np.abs(read - BARS)[7:].max() <= 2 and np.abs(read[0] - BARS[0]).max() <= 1
    # where a channel is zero, one of 1024 codes is up to ten levels
    assert np.abs((read / 255) ** 2.4 - (BARS / 255) ** 2.4).max() < 0.02
    coded = seen(ToRgb().reformatter.reformat(made, format="rgb48le").to_ndarray()) / 65280
    assert np.abs(read - reference(coded, encode)).max() <= 4


def reference(signal: np.ndarray, encode) -> np.ndarray:
    """Levels for an R'G'B' signal of HDR: the coding inverted by search, BT.2020 to BT.709, BT.1886's display."""
    if encode is pq:
        grid = np.geomspace(1e-6, 10000, 200_000)
        nits = np.interp(signal, pq(grid), grid)
    else:
        grid = np.linspace(0, 1, 400_001)  # of a grey ramp: scene light, before the display's gamma
        coded = hlg(1000 * np.repeat(grid[:, None] ** 1.2, 3, 1))[:, 0]
        scene = np.interp(signal, coded, grid)
        nits = 1000 * scene * (scene @ [0.2627, 0.6780, 0.0593])[:, None] ** 0.2
    linear = (nits / 203) @ np.linalg.inv(TO_2020).T
    return (255 * linear.clip(0, 1) ** (1 / 2.4)).round().astype(int)


def test_brighter_than_white_is_white():
    nits = np.repeat([[203.0], [400], [1000], [50.75]], 3, 1)
    for encode, transfer in ((hlg, ColorTrc.ARIB_STD_B67), (pq, ColorTrc.SMPTE2084)):
        made = frame(encode(nits), Colorspace.BT2020, 10, False)
        made.colorspace, made.color_trc = Colorspace.BT2020, transfer
        assert np.abs(seen(ToRgb()(made), 4) - [[255], [255], [255], [143]]).max() <= 1


def test_the_same_tags_without_hdr_change_nothing():
    made = frame(BARS / 255, Colorspace.BT2020, 10, False)
    made.colorspace, made.color_trc = Colorspace.BT2020, ColorTrc.BT2020_10
    assert dynamic_range(made) is None and np.abs(seen(ToRgb()(made)) - BARS).max() <= 2
