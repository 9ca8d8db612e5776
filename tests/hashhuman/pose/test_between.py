"""Poses of frames between training frames."""

import numpy as np
import pytest
import torch
from scipy.interpolate import lagrange
from scipy.spatial.transform import Rotation

from hashhuman.body.template import BodyPose
from hashhuman.pose.between import Neighbours, correction_between, mean_pose, neighbours
from hashhuman.pose.table import RefinedPoses
from tests import toy

PELVIS = torch.tensor([0.1, -0.2, 0.3])


def test_interpolation_by_hand():
    """Frames 10, 12 and 16; at 13 three quarters of the second frame's correction, and one of the third frame's."""
    rotation, transl = torch.zeros(3, 2, 3), torch.zeros(3, 3)
    rotation[1, 1, 0], rotation[2, 1, 0] = 0.4, 0.8
    transl[1, 2], transl[2, 2] = 1.0, -1.0
    for frame, angle, depth in ((10, 0.0, 0.0), (11, 0.2, 0.5), (12, 0.4, 1.0), (13, 0.5, 0.5), (16, 0.8, -1.0)):
        near = neighbours([10, 12, 16], frame)
        assert near is not None
        found = correction_between(rotation, transl, near)
        assert found.rotation[1, 0].item() == pytest.approx(angle)
        assert found.transl.tolist() == pytest.approx([0.0, 0.0, depth])
    assert neighbours([10, 12, 16], 9) is None and neighbours([10, 12, 16], 17) is None


def test_two_frames_on_each_side_are_asked_across_narrow_gaps_only():
    assert neighbours([0, 1, 2, 4, 5, 6], 3) == ([1, 2, 3, 4], pytest.approx([-1 / 6, 4 / 6, 4 / 6, -1 / 6]))
    assert neighbours([0, 1, 2, 5, 6, 7], 3) == ([2, 3], pytest.approx([2 / 3, 1 / 3]))  # a wide gap
    assert neighbours([0, 2, 3, 4], 1) == ([0, 1], pytest.approx([0.5, 0.5]))  # one frame on its left
    times, values = [0, 2, 6, 8], [1.0, -2.0, 0.5, 3.0]
    near = neighbours([-2, *times, 10, 12], 4)
    assert near is not None and near.positions == [1, 2, 3, 4]
    assert np.dot(near.weights, values) == pytest.approx(lagrange(times, values)(4))


def test_the_mean_of_poses():
    """About one axis it is the mean angle; weights extrapolate, too; the root joint is where its mean is."""
    axis = torch.nn.functional.normalize(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    angles = (0.2, 0.5)

    def turned(angle: float, transl: list[float]) -> BodyPose:
        turns = axis * angle
        return BodyPose(torch.cat([torch.zeros(1, 3), turns[1:]]), turns[0], torch.tensor(transl))

    poses = [turned(angles[0], [0.0, 1.0, 2.0]), turned(angles[1], [1.0, 1.0, 0.0])]
    half = mean_pose(poses, [0.5, 0.5], PELVIS)
    torch.testing.assert_close(torch.cat([half.orient[None], half.body_pose[1:]]), axis * 0.35)
    assert (half.body_pose[0] == 0).all()
    beyond = mean_pose(poses, [1.1, -0.1], PELVIS)
    assert 0.165 < beyond.orient.norm() < 0.175
    places = [
        Rotation.from_rotvec(pose.orient.numpy()).apply(PELVIS.numpy()) + pose.transl.numpy() for pose in (*poses, half)
    ]
    np.testing.assert_allclose(places[2], (places[0] + places[1]) / 2, atol=1e-6)


@pytest.mark.parametrize(("steady", "share"), [(1.0, 0.5), (0.25, 0.25), (0.0, 0.0)])
def test_a_held_out_pose_lies_between_its_fit_and_the_curve_through_the_others(steady: float, share: float):
    """Refined frames turn one joint as a cubic in time; the fits jitter, and corrections know how much.

    How steady the joint is counts on both sides of the frame, and that of other joints does not count.
    """
    frames, generator = [0, 1, 2, 4, 5, 6], torch.Generator().manual_seed(1)

    def true(frame: float) -> float:
        return 0.3 + 0.05 * frame - 0.004 * frame**2 + 0.001 * frame**3

    def pose(angle: float) -> BodyPose:
        turns = torch.zeros(5, 3)
        turns[2, 1] = angle
        return BodyPose(turns, torch.zeros(3), torch.zeros(3))

    jitter = 0.1 * torch.randn(7, generator=generator)
    table = RefinedPoses(6, 5, 0.01, 0.01, 0, 1, None, 100, 0.01)
    table.start(toy.template(), [pose(true(frame) + jitter[frame].item()) for frame in frames], frames)
    with torch.no_grad():
        table.rotation[:, 2, 1] = -jitter[frames]
        table.steady[:] = torch.rand(4, 5, generator=generator)
        table.steady[1:3, 2] = torch.tensor([0.5, 1.5]) * steady  # at frames 2 and 4
    fit = true(3) + jitter[3].item()
    found = table.corrected(pose(fit), 3, toy.template().joints[0]).body_pose[2, 1].item()
    corrected = fit + np.dot([-1 / 6, 4 / 6, 4 / 6, -1 / 6], -jitter[[1, 2, 4, 5]].numpy())
    assert found == pytest.approx((1 - share) * corrected + share * true(3), abs=1e-4)
    assert neighbours(frames, 5) == Neighbours([4], [1.0])
