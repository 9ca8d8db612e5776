#!/usr/bin/env bash
# libx264 in PyAV's wheel makes different H.264 files of the same frames in one process, on a CPU with AVX-512.
#
# Versions: av 18.1.0 (FFmpeg 8.1.2, x264 core 165), numpy 2.4.6, Python 3.11; AMD EPYC with AVX-512. Seen: 2026-11-30.
#
# Its settings say threads=1, and it does not run in its non-deterministic mode, so that the same frames should make the
# same file. With the macroblock tree (on by default) the decoded pictures differ by up to 13 of 255, from run
# to run, with what was in memory before. Without the macroblock tree (mbtree=0), or without assembly (asm=0), all files
# are equal. Other CPUs show nothing.
# For us: src/hashhuman/io/video.py sets mbtree=0, so that the same run writes the same video.
#
# Output (the first number varies):
#   of 40 files of the same frames, different ones: 3 (default) 1 (mbtree=0) 1 (asm=0)
set -euo pipefail
grep -q avx512f /proc/cpuinfo || { echo "this CPU has no AVX-512"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/site" av==18.1.0 numpy==2.4.6
cd "$folder"
PYTHONPATH="$folder/site" python3 - <<'PYTHON'
import io

import av
import numpy as np


def pan(width, seed):
    """12 frames of a camera that moves over smooth spots, 96 pixels high."""
    spots = av.VideoFrame.from_ndarray(np.random.default_rng(seed).integers(0, 255, (20, 30, 3), np.uint8), format="rgb24")
    ground = spots.reformat(width=width + 80, height=156).to_ndarray()
    for i in range(12):
        frame = ground[3 * i : 3 * i + 96, 4 * i : 4 * i + width].copy()
        rows, columns = np.ogrid[:96, :width]
        frame[(rows - 48) ** 2 + (columns - width // 2 - 3 * i) ** 2 < 400] = (255, 120, 0)
        yield frame


def encoded(frames, options):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", 6, options={"crf": "18", "threads": "1", **options})
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], 96, "yuv420p"
        for i, values in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(values, format="rgb24")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


counts = []
for options in ({}, {"x264-params": "mbtree=0"}, {"x264-params": "asm=0"}):
    found = set()
    for i in range(40):
        encoded(list(pan(90 + 20 * (i % 8), seed=i)), options)  # leaves something else in memory
        found.add(encoded(list(pan(170, seed=0)), options))
    counts.append(len(found))
print("of 40 files of the same frames, different ones: {} (default) {} (mbtree=0) {} (asm=0)".format(*counts))
assert counts[0] > 1 and counts[1:] == [1, 1], "this has changed"
PYTHON
