"""Left and right sorted out, gaps filled."""

import dataclasses

import numpy as np
import pytest
import torch

from preprocess.body_fit.evidence.observe import EARS, FACE, fill, find_flips, flat_world, mirror, observe, point_trust
from preprocess.body_fit.geometry import project
from preprocess.keypoints.camera_axes import to_camera_axes
from preprocess.keypoints.points import Keypoints
from preprocess.skeleton import NAMES


@pytest.fixture
def seen(moving) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact points of the turning body: K, image, world about the hips."""
    K, truth, _ = moving
    hips = truth.landmarks[:, [NAMES.index("left_hip"), NAMES.index("right_hip")]].mean(1, keepdim=True)
    return K.numpy(), project(truth.landmarks, K).double().numpy(), (truth.landmarks - hips).double().numpy()


def keypoints(image: np.ndarray, world: np.ndarray) -> Keypoints:
    empty = Keypoints.empty(list(range(len(image))))
    return dataclasses.replace(
        empty,
        detected=np.ones(len(image), bool),
        image_points=image.astype(np.float32),
        world_points=world.astype(np.float32),
        visibility=np.ones(image.shape[:2], np.float32),
    )


def test_mirroring_twice_is_nothing(seen):
    _, image, world = seen
    again = mirror(*mirror(image, world))
    assert np.array_equal(again[0], image) and np.allclose(again[1], world)


def test_steady_points_are_left_alone(seen):
    _, image, world = seen
    assert not find_flips(image, world).any()


@pytest.mark.parametrize("frames", [[1], [8, 9, 10], [0, 1], [12, 13]])
def test_flips_are_found_and_repaired(seen, frames):
    K, image, world = seen
    bad_image, bad_world = image.copy(), world.copy()
    bad_image[frames], bad_world[frames] = mirror(image[frames], world[frames])
    found = observe(keypoints(bad_image, bad_world), K)
    assert np.flatnonzero(found.flipped).tolist() == frames
    assert np.allclose(found.image, image, atol=1e-3)
    assert np.allclose(found.world, to_camera_axes(world, image, K), atol=1e-4)


def test_frames_without_detection_are_interpolated_and_flagged(seen):
    K, image, world = seen
    given = keypoints(image, world)
    for array in (given.image_points, given.world_points, given.visibility):
        array[[0, 5, 6]] = 0
    given.detected[[0, 5, 6]] = False
    found = observe(given, K)
    assert np.flatnonzero(found.interpolated).tolist() == [0, 5, 6]
    assert not found.visibility[[0, 5, 6]].any() and found.visibility[1].all()
    assert np.allclose(found.image[5], (2 * image[4] + image[7]) / 3, atol=1e-3)
    assert np.allclose(found.image[0], image[1], atol=1e-3)


def test_missing_3d_points_are_replaced_by_flat_ones_and_not_trusted(seen):
    K, image, world = seen
    given = keypoints(image, np.full_like(world, np.nan))
    found = observe(given, K)
    assert not found.has_world.any() and np.isfinite(found.world).all()
    flat = flat_world(image)
    assert not flat[..., 2].any()
    assert np.allclose(np.linalg.norm(flat[:, [11, 12]].mean(1) - flat[:, [23, 24]].mean(1), axis=-1), 0.5)


def test_fill_is_linear_interpolation():
    x = np.array([[0.0], [9], [4], [9], [8], [9]])
    known = np.array([True, False, True, False, True, False])
    assert fill(x, known)[:, 0].tolist() == [0, 2, 4, 6, 8, 8]
    assert torch.tensor(fill(x, known)).shape == (6, 1)


def test_a_face_that_looks_away_is_not_trusted(moving):
    """The body turns from facing the camera to facing away."""
    _, truth, _ = moving
    trust = point_trust(truth.landmarks.double().numpy())
    assert len(FACE) == 9 and len(EARS) == 2
    body = [i for i in range(len(NAMES)) if i not in (*FACE, *EARS)]
    assert (trust[:, body] == 1).all()
    face, ears = trust[:, FACE], trust[:, EARS]
    assert (face[0] > 0.3).all() and (face[-1] < 0.02).all() and (np.diff(face[:, 0]) < 0).all()
    assert (ears[-1] > 10 * face[-1, 0]).all() and np.allclose(ears[0], face[0, 0], rtol=0.02)
