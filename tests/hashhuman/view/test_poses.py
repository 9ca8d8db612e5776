"""A motion at one time is the pose of the run's world, and joints turn as they are told."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hashhuman.body.visibility import world_vertices
from hashhuman.export.motion import body_poses
from hashhuman.view import poses


def test_a_frame_is_the_fitted_pose_again(subject):
    motion = subject.motions[0]
    for position, frame in enumerate(subject.frames):
        fitted = subject.datamodule.subject.pose(frame)
        (found,) = body_poses(poses.at(motion, motion.times[position]), subject.template)
        assert np.allclose(
            world_vertices(subject.template, found), world_vertices(subject.template, fitted), atol=1e-5
        ), frame


def test_between_frames_it_is_the_motion_interpolated(subject):
    motion = subject.motions[0]
    for time in (0.0, 0.03, 0.25, 0.5, 2.0, -1.0):
        assert np.allclose(poses.at(motion, time).root, motion.at(np.array([time])).root), time
        same = Rotation.from_quat(poses.at(motion, time).rotations[0]).inv() * Rotation.from_quat(
            motion.at(np.array([time])).rotations[0]
        )
        assert same.magnitude().max() < 1e-6, time


def test_a_motion_of_one_frame(subject):
    motion = subject.motions[0]
    one = dataclasses.replace(motion, times=motion.times[:1], rotations=motion.rotations[:1], root=motion.root[:1])
    assert np.allclose(poses.at(one, 3.0).root, motion.root[:1])


def test_a_joint_is_turned_in_its_own_axes(subject):
    standing = poses.at(subject.motions[0], 0.0)
    degrees = np.zeros((5, 3))
    degrees[2] = [0, 0, 90]
    moved = poses.turned(standing, degrees)
    before, after = (each.transforms(subject.skeleton)[0, 2, :3, :3] for each in (standing, moved))
    assert after[:, 0] == pytest.approx(before[:, 1], abs=1e-9)
    assert after[:, 1] == pytest.approx(-before[:, 0], abs=1e-9)
    others = [0, 1, 3, 4]
    assert np.array_equal(moved.rotations[0, others], standing.rotations[0, others])
    assert poses.turned(standing, np.zeros((5, 3))) is standing
