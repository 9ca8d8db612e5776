#!/usr/bin/env bash
# 16-bit R'G'B' that FFmpeg's swscale makes of Y'CbCr has its white at 65283, not at 65535.
#
# Versions: av 18.1.0 (FFmpeg 8.1.2), numpy 2.4.6, Python 3.11. Seen: 2026-11-30.
#
# White in 10 bits of limited range (Y' = 940) becomes 65283 in rgb48le and gbrp16le, and 0.9962 in gbrpf32le, where 255
# in rgb24 is full. Dividing by 65535 darkens: under HLG's steep end, white drops by two of 255 levels, and a threshold
# for clipped pixels at 65535 never fires.
# For us: preprocess/frames/colour.py scales by 65280.
#
# Output:
#   rgb24 255   rgb48le 65283   gbrp16le 65283   gbrpf32le 0.9962
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/site" av==18.1.0 numpy==2.4.6
cd "$folder"
PYTHONPATH="$folder/site" python3 - <<'PYTHON'
import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

white = av.VideoFrame(64, 32, "yuv444p10le")
for plane, code in zip(white.planes, (940, 512, 512)):
    plane.update(np.full((32, plane.line_size // 2), code, np.uint16).tobytes())
white.color_range, white.colorspace = ColorRange.MPEG, Colorspace.ITU709
found = {name: white.reformat(format=name).to_ndarray()[16, 32, 0] for name in ("rgb24", "rgb48le", "gbrp16le", "gbrpf32le")}
print("   ".join(f"{name} {round(float(value), 4):g}" for name, value in found.items()))
assert (found["rgb24"], found["rgb48le"], found["gbrp16le"]) == (255, 65283, 65283), "this has changed"
PYTHON
