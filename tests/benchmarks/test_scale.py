"""Clips of a size, and the growth of what they cost."""

import itertools

import numpy as np
import pytest

from benchmarks import scale
from hashhuman.io.video import write_video
from preprocess.frames.decode import decode


def test_a_clip_goes_forwards_and_backwards(tmp_path):
    shades = (40, 120, 200)
    source, path = tmp_path / "source.mp4", tmp_path / "clip.mp4"
    write_video(source, (np.full((64, 128, 3), shade, np.uint8) for shade in shades), 30)
    scale.write(source, path, 6, 64)
    images = [picture.image for picture in decode(path)]
    assert {image.shape for image in images} == {(32, 64, 3)}
    assert [int(image.mean()) for image in images] == pytest.approx([40, 120, 200, 120, 40, 120], abs=4)
    assert [*itertools.islice(scale.there_and_back(4), 8)] == [0, 1, 2, 3, 2, 1, 0, 1]


def test_growth_is_the_exponent():
    rows = [
        {"pictures": n, "long side": 8, "whole (s)": 5.0 * n, "masks": 2.0 * n**2, "set-up": 3.0, "GPU (MiB)": None}
        for n in (10, 40, 90)
    ]
    found = scale.growth(rows, [10.0, 40.0, 90.0])
    assert found["whole (s)"] == pytest.approx(1) and found["masks"] == pytest.approx(2) and found["set-up"] == 0
    assert "GPU (MiB)" not in found
