#!/usr/bin/env bash
# PyAV converts one HLG frame to two different pictures, by whether the target is rgb24 or BT.709 Y'CbCr, and moves SDR.
#
# Versions: av 18.1.0 (FFmpeg 8.1.2), numpy 2.4.6, Python 3.11. Seen: 2026-11-30.
#
# A 10-bit HLG frame (BT.2020) holds bars that are (191, 191, 0), (0, 191, 0), (0, 0, 191) and grey 191 when white is 203
# cd/m2 (BT.2100, BT.2408, BT.1886). VideoReformatter.reformat with dst_color_trc and dst_color_primaries named converts
# grey rightly either way, although the documentation of dst_color_trc says that it "sets frame metadata only". Saturated
# colours differ by up to 21 levels between asking for rgb24 and asking for yuv444p10le and then for rgb24, and neither
# gives the zeros back. The same call on a frame of standard range with BT.601's primaries, which players show as they
# are, moves its colours by up to 58 levels.
# For us: preprocess/frames/colour.py computes the conversion by BT.2100's formulas, and for HLG and PQ only.
#
# Output:
#   true          [[191, 191, 191], [191, 191, 0], [0, 191, 0], [0, 0, 191]]
#   rgb24         [[191, 191, 191], [192, 177, 3], [2, 170, 11], [8, 42, 192]]
#   yuv, rgb24    [[191, 191, 191], [191, 191, 12], [8, 191, 17], [10, 31, 184]]
#   SDR, plain    [[191, 191, 191], [191, 191, 0], [0, 191, 0], [0, 0, 191]]
#   SDR, named    [[191, 191, 191], [191, 190, 1], [58, 188, 0], [28, 34, 192]]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/site" av==18.1.0 numpy==2.4.6
cd "$folder"
PYTHONPATH="$folder/site" python3 - <<'PYTHON'
import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

BARS = np.array([[191, 191, 191], [191, 191, 0], [0, 191, 0], [0, 0, 191]])
TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
TARGET = dict(dst_color_trc=ColorTrc.BT709, dst_color_primaries=ColorPrimaries.BT709)


def frame(signal, red, blue, **tags):
    """R'G'B' in [0, 1] as 10 bits of limited range."""
    luma = signal @ [red, 1 - red - blue, blue]
    cb, cr = (signal[:, 2] - luma) / (2 - 2 * blue), (signal[:, 0] - luma) / (2 - 2 * red)
    made = av.VideoFrame(64 * len(signal), 32, "yuv444p10le")
    for plane, code in zip(made.planes, (876 * luma + 64, 896 * cb + 512, 896 * cr + 512)):
        values = np.zeros((32, plane.line_size // 2), np.uint16)
        values[:, : 64 * len(signal)] = np.repeat(code.round(), 64)
        plane.update(values.tobytes())
    made.color_range = ColorRange.MPEG
    for name, value in tags.items():
        setattr(made, name, value)
    return made


def seen(made):
    return made.to_ndarray()[16, 32::64].tolist()


display = 203 / 1000 * (BARS / 255) ** 2.4 @ TO_2020.T  # of a display of 1000 cd/m2
scene = display * (display @ [0.2627, 0.6780, 0.0593])[:, None] ** (1 / 1.2 - 1)
hlg = np.where(scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log((12 * scene - 0.28466892).clip(1e-9)) + 0.55991073)
made = frame(hlg, 0.2627, 0.0593, colorspace=Colorspace.BT2020, color_trc=ColorTrc.ARIB_STD_B67, color_primaries=ColorPrimaries.BT2020)
direct = seen(VideoReformatter().reformat(made, format="rgb24", **TARGET))
standard = VideoReformatter().reformat(made, format="yuv444p10le", dst_colorspace=Colorspace.ITU709, **TARGET)
twice = seen(VideoReformatter().reformat(standard, format="rgb24", src_colorspace=Colorspace.ITU709))
sdr = frame(BARS / 255, 0.299, 0.114, colorspace=Colorspace.ITU601, color_trc=ColorTrc.SMPTE170M, color_primaries=ColorPrimaries.SMPTE170M)
moved = seen(VideoReformatter().reformat(sdr, format="rgb24", **TARGET))
plain = seen(VideoReformatter().reformat(sdr, format="rgb24"))
for words, value in (("true", BARS.tolist()), ("rgb24", direct), ("yuv, rgb24", twice), ("SDR, plain", plain), ("SDR, named", moved)):
    print(f"{words:<13} {value}")
apart = np.abs(np.array(direct) - twice)
assert apart[0].max() <= 1 and apart[1:].max() >= 10, "the two ways agree now"
assert np.abs(np.array(twice) - BARS).max() >= 20, "zeros come back now"
assert np.abs(np.array(plain) - BARS).max() <= 2 and np.abs(np.array(moved) - BARS).max() >= 10, "SDR stays now"
PYTHON
