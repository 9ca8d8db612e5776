"""Angles between fitted and true bones."""

import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks.turns import joint_errors


def test_a_joints_constant_error_is_told_apart():
    """The first joint is off by 30 degrees in all frames, the second by 20 to one side and the other."""
    frames = 8
    true = Rotation.random(2 * frames, random_state=0).as_matrix().reshape(frames, 2, 3, 3)
    degrees = np.stack([np.full(frames, 30.0), np.tile([20.0, -20.0], frames // 2)], 1)
    off = Rotation.from_rotvec(np.radians(degrees).ravel()[:, None] * [0, 1, 0]).as_matrix().reshape(true.shape)
    whole, varying = joint_errors(true @ off, true)
    assert np.allclose(whole, [30, 20]) and np.allclose(varying, [0, 20], atol=1e-5)
