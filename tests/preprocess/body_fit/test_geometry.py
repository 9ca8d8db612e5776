"""Rotations against scipy."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from preprocess.body_fit.geometry import (
    axis_angle_from_matrix,
    matrix_from_6d,
    rigid_rotation,
    rotation_between,
    sixd_from_matrix,
)

RNG = np.random.default_rng(5)


def test_axis_angle_of_any_rotation():
    vectors = RNG.normal(size=(60, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    angles = np.concatenate([RNG.uniform(0, np.pi, 40), np.full(10, np.pi - 1e-4), np.full(10, 1e-6)])
    matrices = Rotation.from_rotvec(vectors * angles[:, None]).as_matrix()
    found = axis_angle_from_matrix(torch.tensor(matrices)).numpy()
    assert np.allclose(found, vectors * angles[:, None], atol=1e-5)


def test_half_turns_about_the_axes():
    for axis in np.eye(3):
        found = axis_angle_from_matrix(torch.tensor(Rotation.from_rotvec(np.pi * axis).as_matrix())).numpy()
        assert np.allclose(Rotation.from_rotvec(found).as_matrix(), Rotation.from_rotvec(np.pi * axis).as_matrix())


def test_rotation_between_directions():
    a, b = RNG.normal(size=(2, 20, 3))
    turned = Rotation.from_rotvec(rotation_between(torch.tensor(a), torch.tensor(b)).numpy()).apply(a)
    assert np.allclose(turned / np.linalg.norm(turned, axis=1)[:, None], b / np.linalg.norm(b, axis=1)[:, None])


def test_rigid_rotation_is_kabsch():
    points, target = RNG.normal(size=(2, 6, 3))
    centred = points - points.mean(0), target - target.mean(0)
    expected, _ = Rotation.align_vectors(centred[1], centred[0])
    assert np.allclose(rigid_rotation(torch.tensor(points), torch.tensor(target)), expected.as_matrix(), atol=1e-6)


def test_six_numbers_are_a_rotation_and_back():
    rotations = torch.tensor(Rotation.random(20, RNG).as_matrix())
    assert torch.allclose(matrix_from_6d(sixd_from_matrix(rotations)), rotations)
    any_six = torch.tensor(RNG.normal(size=(20, 6)))
    made = matrix_from_6d(any_six)
    assert torch.allclose(made @ made.mT, torch.eye(3, dtype=made.dtype).expand(20, 3, 3))
    assert torch.allclose(torch.linalg.det(made), torch.ones(20, dtype=made.dtype))
