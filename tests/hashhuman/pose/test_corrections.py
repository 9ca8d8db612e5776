"""Corrections of poses, composed with the fit."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hashhuman.geometry import skinning
from hashhuman.pose.corrections import Correction, matrix_to_axis_angle
from tests import toy

PELVIS = torch.tensor([0.1, -0.2, 0.3])


def some(seed: int = 0, size: float = 0.4) -> Correction:
    generator = torch.Generator().manual_seed(seed)
    return Correction(size * torch.randn(5, 3, generator=generator), torch.randn(3, generator=generator))


def test_rotations_are_composed_with_the_fit_in_the_joints_own_axes():
    pose, correction = toy.pose(3), some()
    corrected = correction.of(pose, PELVIS)
    for joint in range(1, 5):
        fit, own = (Rotation.from_rotvec(x[joint].double().numpy()) for x in (pose.body_pose, correction.rotation))
        found = Rotation.from_rotvec(corrected.body_pose[joint].double().numpy())
        np.testing.assert_allclose(found.as_matrix(), (fit * own).as_matrix(), atol=1e-6)
    assert (corrected.body_pose[0] == 0).all()


def test_the_body_turns_about_its_root_joint_and_moves_by_the_translation():
    pose, correction = toy.pose(3), some()
    before, after = pose.world_from_posed(), correction.of(pose, PELVIS).world_from_posed()
    moved = skinning.transform(after, PELVIS) - skinning.transform(before, PELVIS)
    torch.testing.assert_close(moved, correction.transl, atol=1e-5, rtol=0)
    turn = Rotation.from_matrix((before[:3, :3].T @ after[:3, :3]).double().numpy()).as_rotvec()
    np.testing.assert_allclose(turn, correction.rotation[0], atol=1e-5)


def test_a_correction_of_zero_changes_no_bit():
    pose, zero = toy.pose(4), Correction(torch.zeros(5, 3), torch.zeros(3))
    same = zero.of(pose, PELVIS)
    for name in ("body_pose", "orient", "transl"):
        assert torch.equal(getattr(same, name), getattr(pose, name)), name
    zero.rotation[2, 1] = 0.1
    one = zero.of(pose, PELVIS)
    assert torch.equal(one.body_pose[[0, 1, 3, 4]], pose.body_pose[[0, 1, 3, 4]])
    assert not torch.equal(one.body_pose[2], pose.body_pose[2])


def test_axis_angles_of_matrices_against_scipy():
    generator = np.random.default_rng(0)
    vectors = np.concatenate([
        generator.normal(size=(200, 3)), 1e-5 * generator.normal(size=(20, 3)), np.zeros((1, 3)),
        np.pi * 0.9999 * np.eye(3), -np.pi * 0.9999 * np.eye(3),
    ])  # fmt: skip
    matrices = Rotation.from_rotvec(vectors).as_matrix()
    expected = Rotation.from_matrix(matrices).as_rotvec()
    np.testing.assert_allclose(matrix_to_axis_angle(torch.tensor(matrices)), expected, atol=1e-9)
