"""Boxes of detected people."""

import numpy as np
import pytest

from preprocess.keypoints.movenet import overlap


def test_overlap() -> None:
    a, b = np.array([0.0, 0, 10, 10]), np.array([5.0, 0, 25, 10])
    assert overlap(a, b) == overlap(b, a) == pytest.approx(0.5)  # 50 of the smaller's 100
    assert overlap(a, a + 20) == 0
