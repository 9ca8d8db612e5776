#!/usr/bin/env bash
# PyAV's VideoFrame.rotation gives the turn of a display matrix and drops its mirror.
#
# Versions: av 18.1.0 (FFmpeg 8.1.2), numpy 2.4.6, Python 3.11. Seen: 2026-11-30.
#
# An mp4 file whose matrix mirrors left and right (a = -1, d = 1), as selfie cameras and editors write it, has a rotation
# of -180, exactly as one whose matrix turns by a half (a = d = -1). Who turns pictures by `rotation`, as its name
# suggests, shows the mirrored clip upside down. The matrix itself is in the frame's side data.
# For us: preprocess/frames/orientation.py reads the matrix.
#
# Output:
#   half a turn     a, d = -1, -1   rotation -180
#   mirror          a, d = -1, 1   rotation -180
#   mirror          a, d = 1, -1   rotation 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/site" av==18.1.0 numpy==2.4.6
cd "$folder"
PYTHONPATH="$folder/site" python3 - <<'PYTHON'
import av
import numpy as np

with av.open("plain.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for _ in range(3):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
    container.mux(stream.encode())
plain = open("plain.mp4", "rb").read()
start = plain.index(b"tkhd") + 44  # the matrix: a b u c d v x y w in 16.16 and 2.30 fixed point
seen = {}
for words, a, d in (("half a turn", -1, -1), ("mirror", -1, 1), ("mirror", 1, -1)):
    numbers = (a << 16, 0, 0, 0, d << 16, 0, 0, 0, 1 << 30)
    matrix = b"".join(n.to_bytes(4, "big", signed=True) for n in numbers)
    open("turned.mp4", "wb").write(plain[:start] + matrix + plain[start + 36 :])
    with av.open("turned.mp4") as container:
        seen[a, d] = next(container.decode(video=0)).rotation
    print(f"{words:<15} a, d = {a}, {d}   rotation {seen[a, d]}")
assert seen == {(-1, -1): -180, (-1, 1): -180, (1, -1): 0}, "this has changed"
PYTHON
