"""The motion in exported files: the run's own joints, moved rigidly; y up; on the ground."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hashhuman.body.visibility import world_vertices
from hashhuman.errors import UserError
from hashhuman.export import motion as motions
from hashhuman.export.motion import Skeleton
from hashhuman.geometry import skinning
from tests import toy
from tests.hashhuman.fakes import FakeAvatar, FakeData


@pytest.fixture
def motion(toy_folder):
    return motions.captured(FakeAvatar(), FakeData(toy_folder, train_frames=6, holdout_every=3), fps=10.0)


def world_joints(frame: int) -> np.ndarray:
    """The toy's joints in the world, straight from the pose (m)."""
    body, pose = toy.template(), toy.pose(frame)
    bones = body.bone_transforms(pose.body_pose)
    posed = skinning.transform(bones, body.joints)
    return skinning.transform(pose.world_from_posed(), posed).double().numpy()


def test_joints_are_those_of_the_run(motion):
    """Held-out frames belong to the motion, too."""
    skeleton = Skeleton.of(toy.template())
    assert motion.times == pytest.approx(np.arange(6) / 10)
    place = motion.exported_from_world
    own = np.stack([world_joints(frame) for frame in range(6)]) @ place[:3, :3].T + place[:3, 3]
    assert motion.joints(skeleton) == pytest.approx(own, abs=1e-5)
    assert np.linalg.det(place[:3, :3]) == pytest.approx(1)


def test_up_is_y_and_the_feet_touch_the_ground(motion):
    body, place = toy.template(), motion.exported_from_world
    world = torch.stack([toy.world_vertices(body, frame) for frame in range(6)]).double().numpy()
    vertices = world @ place[:3, :3].T + place[:3, 3]
    assert vertices[..., 1].min() == pytest.approx(0, abs=1e-5)
    assert motion.root[0, [0, 2]] == pytest.approx([0, 0])
    turn = Rotation.from_quat(motion.rotations[:, 0]).as_matrix()
    assert turn[:, 1, 1].min() > 0.99  # the body's y axis is up
    assert turn[0, 2, 2] > 0.99 and turn[0, 0, 2] == pytest.approx(0, abs=1e-6)  # and it faces +z at first


def test_signs_of_quaternions_take_the_short_way():
    angles = np.linspace(0, 4 * np.pi, 40)
    turning = Rotation.from_rotvec(np.outer(angles, [0, 1, 0])).as_quat(canonical=True)[:, None]
    assert (np.sum(turning[1:] * turning[:-1], -1) < 0).any()
    smooth = motions.continuous(turning)
    assert (np.sum(smooth[1:] * smooth[:-1], -1) > 0).all() and np.abs(smooth) == pytest.approx(np.abs(turning))


def test_times_come_from_the_video():
    meta = {"video": {"seconds": [0.0, 0.04, 0.1, 0.12]}}
    assert motions.frame_times(meta, [1, 2, 3], 30.0) == pytest.approx([0, 0.06, 0.08])
    assert motions.frame_times({}, [1, 2, 4], 10.0) == pytest.approx([0, 0.1, 0.3])
    with pytest.raises(UserError, match="do not ascend"):
        motions.frame_times({"video": {"seconds": [0.0, 0.1, 0.1]}}, [0, 1, 2], 30.0)


def test_between_frames_it_is_interpolated(motion):
    half = motion.at(np.array([0.05, 9.0]))
    assert half.root[0] == pytest.approx((motion.root[0] + motion.root[1]) / 2)
    turns = Rotation.from_quat(motion.rotations[:2, 0])
    assert (Rotation.from_quat(half.rotations[0, 0]) * turns[0].inv()).magnitude() == pytest.approx(
        (turns[1] * turns[0].inv()).magnitude() / 2
    )
    assert half.root[1] == pytest.approx(motion.root[-1])


def test_poses_of_the_motion_are_those_of_the_run(motion):
    body = toy.template()
    for frame, pose in enumerate(motions.body_poses(motion, body)):
        assert world_vertices(body, pose).numpy() == pytest.approx(toy.world_vertices(body, frame).numpy(), abs=1e-5)
        assert torch.equal(pose.body_pose[0], torch.zeros(3)) and pose.transl.dtype == torch.float32
