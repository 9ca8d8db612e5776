#!/usr/bin/env bash
# cv2.remap with INTER_NEAREST takes the farther of two pixels if the maps are fixed-point (CV_16SC2 with CV_16UC1).
#
# Versions: opencv-python-headless 5.0.0.93 and 4.13.0.92, numpy 2.4.6, Python 3.11. Seen: 2026-11-30.
#
# cv2.initUndistortRectifyMap(..., cv2.CV_16SC2), the faster form of its maps, gives a table of fractions for bilinear
# interpolation. Whoever undistorts label images or masks with the same maps and INTER_NEAREST gets pixels that are up to
# one pixel off: a source position of 3.2 is read from pixel 4, and 3.8 from pixel 3. With maps of CV_32FC1 it is right.
# cv2.convertMaps has an argument nninterpolation for maps without fractions; initUndistortRectifyMap has none.
# For us: preprocess/frames/lens.py converts the maps back before masks are undistorted.
#
# Output:
#   5.0.0   source 3.2   fixed-point maps: pixel 4   float maps: pixel 3
#   5.0.0   source 3.4   fixed-point maps: pixel 4   float maps: pixel 3
#   5.0.0   source 3.6   fixed-point maps: pixel 3   float maps: pixel 4
#   5.0.0   source 3.8   fixed-point maps: pixel 3   float maps: pixel 4
#   4.13.0   source 3.2   fixed-point maps: pixel 4   float maps: pixel 3
#   4.13.0   source 3.4   fixed-point maps: pixel 4   float maps: pixel 3
#   4.13.0   source 3.6   fixed-point maps: pixel 3   float maps: pixel 4
#   4.13.0   source 3.8   fixed-point maps: pixel 3   float maps: pixel 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 5.0.0.93 4.13.0.92; do
    python3 -m pip install --quiet --target "$folder/$version" "opencv-python-headless==$version" numpy==2.4.6
    PYTHONPATH="$folder/$version" python3 - <<'PYTHON'
import cv2
import numpy as np

row = np.arange(10, dtype=np.uint8)[None].repeat(3, 0)  # each pixel holds its own number
K = np.array([[100.0, 0, 5], [0, 100, 1], [0, 0, 1]])
wrong = {}
for shift in (0.2, 0.4, 0.6, 0.8):
    moved = K.copy()
    moved[0, 2] -= shift  # pixel x of the new picture shows the old one at x + shift
    seen = []
    for kind in (cv2.CV_16SC2, cv2.CV_32FC1):
        maps = cv2.initUndistortRectifyMap(K, np.zeros(5), None, moved, (10, 3), kind)
        seen.append(int(cv2.remap(row, *maps, interpolation=cv2.INTER_NEAREST)[1, 3]))
    wrong[shift] = seen
    print(f"{cv2.__version__}   source {3 + shift:.1f}   fixed-point maps: pixel {seen[0]}   float maps: pixel {seen[1]}")
assert wrong == {0.2: [4, 3], 0.4: [4, 3], 0.6: [3, 4], 0.8: [3, 4]}, "this has changed"
PYTHON
done
