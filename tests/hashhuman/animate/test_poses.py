"""Poses in the run's world are those that a motion was made of."""

import dataclasses

import numpy as np
import pytest
import torch

from hashhuman.animate import poses
from hashhuman.body.visibility import world_vertices
from hashhuman.export import motion as motions
from tests import toy
from tests.hashhuman.fakes import FakeAvatar, FakeData


def test_the_inverse_of_the_export(toy_folder):
    body, data = toy.template(), FakeData(toy_folder, train_frames=6, holdout_every=3)
    motion = motions.captured(FakeAvatar(), data, fps=10.0)
    for frame, pose in enumerate(poses.body_poses(motion, body)):
        assert world_vertices(body, pose).numpy() == pytest.approx(toy.world_vertices(body, frame).numpy(), abs=1e-5)
        assert torch.equal(pose.body_pose[0], torch.zeros(3)) and pose.transl.dtype == torch.float32
    height = poses.heights(motion, body)
    assert height.shape == (6,) and height.min() == pytest.approx(0, abs=1e-5) and height.max() > 1e-3
    raised = dataclasses.replace(motion, root=motion.root + np.array([0, 0.5, 0]))
    assert poses.heights(raised, body) == pytest.approx(height + 0.5, abs=1e-5)
    assert poses.on_ground(raised, body).root == pytest.approx(motion.root, abs=1e-5)
    assert np.array_equal(raised.rotations, motion.rotations)
