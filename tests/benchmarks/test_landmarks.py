"""Offsets and biases of points with known errors."""

from typing import Any, cast

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmarks.landmarks import Observed, bias_of, offset_of, world_errors
from preprocess.skeleton import NAMES

FRAMES = 40
LEFT, RIGHT = NAMES.index("left_elbow"), NAMES.index("right_elbow")
OFFSET = np.array([0.02, -0.03, 0.01])


@pytest.fixture
def scene() -> Observed:
    """Rotating bones, and a detector that finds elbows with an offset, too near and not far enough to the front."""
    rng = np.random.default_rng(7)
    points = len(NAMES)
    made = cast(Any, object.__new__(Observed))
    made.turn = Rotation.random(FRAMES * points, rng).as_matrix().reshape(FRAMES, points, 3, 3)
    made.at = rng.uniform([-0.5, -0.5, 2.5], [0.5, 0.5, 3.5], (FRAMES, points, 3))
    made.seen = np.ones((FRAMES, points), bool)
    rays = made.at[..., :2] / made.at[..., 2:]
    made.slope = made.turn[:, :, :2] - rays[..., None] * made.turn[:, :, 2:]
    off = np.zeros((points, 3))
    off[LEFT], off[RIGHT] = OFFSET, OFFSET * [-1, 1, 1]
    moved = made.at + np.einsum("flab,lb->fla", made.turn, off)
    made.image_error = (moved[..., :2] / moved[..., 2:] - rays) * made.at[..., 2:]
    made.image_error[:3, LEFT] += 0.4  # a few frames in which it was lost
    made.ahead = Rotation.random(FRAMES, rng).as_matrix()[:, :, 2]
    trunk = [NAMES.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("shoulder", "hip")]
    seen = moved - moved[:, trunk].mean(1, keepdims=True)
    for elbow in (LEFT, RIGHT):
        seen[:, elbow] -= np.array([0, 0, 0.05]) + 0.03 * made.ahead
    made.points = seen
    return made


def test_offset_of_a_point_and_its_mirror_image(scene: Observed):
    offset, rest = offset_of([scene], LEFT)
    assert np.allclose(offset, OFFSET, atol=2e-3) and rest < 2e-3
    assert np.allclose(offset_of([scene], NAMES.index("left_knee"))[0], 0, atol=1e-6)


def test_a_point_that_is_not_seen_does_not_count(scene: Observed):
    lost = cast(Any, scene)
    lost.image_error[10:, LEFT] = 0.07
    lost.seen[10:, LEFT] = False
    assert np.allclose(offset_of([scene], LEFT)[0], OFFSET, atol=2e-3)


def test_bias_along_the_view_and_ahead(scene: Observed):
    offsets = np.zeros((len(NAMES), 3))
    offsets[LEFT], offsets[RIGHT] = OFFSET, OFFSET * [-1, 1, 1]
    bias, rest = bias_of([scene], [world_errors(scene, offsets)], LEFT)
    assert np.allclose(bias, [0.05, 0.03], atol=2e-3)
    assert (rest < 5e-3).all()
