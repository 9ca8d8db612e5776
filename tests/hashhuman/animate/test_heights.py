"""The lowest vertex, and a motion put on the ground."""

import dataclasses

import numpy as np
import pytest

from hashhuman.animate.heights import heights, on_ground
from hashhuman.export import motion as motions
from tests import toy
from tests.hashhuman.fakes import FakeAvatar, FakeData


def test_a_raised_motion_is_put_back(toy_folder):
    body = toy.template()
    motion = motions.captured(FakeAvatar(), FakeData(toy_folder, train_frames=6, holdout_every=3), fps=10.0)
    height = heights(motion, body)
    assert height.shape == (6,) and height.min() == pytest.approx(0, abs=1e-5) and height.max() > 1e-3
    raised = dataclasses.replace(motion, root=motion.root + np.array([0, 0.5, 0]))
    assert heights(raised, body) == pytest.approx(height + 0.5, abs=1e-5)
    assert on_ground(raised, body).root == pytest.approx(motion.root, abs=1e-5)
    assert np.array_equal(raised.rotations, motion.rotations)
