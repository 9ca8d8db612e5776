import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from preprocess.multiview.triangulation import (
    project,
    refine_rotations,
    robust_similarity,
    rotated_cameras,
    similarity,
    triangulate,
    triangulate_linear,
)

K = np.array([[1000.0, 0, 320], [0, 1000, 240], [0, 0, 1]])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def cameras():
    """Four cameras on a circle of 4 m, looking at the origin."""
    views = []
    for angle in (0, 80, 170, 260):
        R = Rotation.from_euler("y", angle, degrees=True).as_matrix()
        views.append(K @ np.column_stack([R, [0, 0, 4]]))
    return np.stack(views)


def test_projects_as_opencv_does(cameras, rng):
    points = rng.normal(size=(7, 3)) * 0.3
    for P, pixels in zip(cameras, project(cameras, points)):
        R = np.linalg.solve(K, P[:, :3])
        expected, _ = cv2.projectPoints(points, cv2.Rodrigues(R)[0], np.array([0, 0, 4.0]), K, None)
        np.testing.assert_allclose(pixels, expected[:, 0], atol=1e-6)


def test_two_cameras_agree_with_opencv(cameras, rng):
    pixels = project(cameras[:2], rng.normal(size=(7, 3)) * 0.3)
    homogeneous = cv2.triangulatePoints(cameras[0], cameras[1], pixels[0].T, pixels[1].T)
    found = triangulate_linear(cameras[:2], pixels, np.ones((2, 7)))
    np.testing.assert_allclose(found, (homogeneous[:3] / homogeneous[3]).T, atol=1e-7)


def test_weights_decide_between_cameras(cameras):
    """A hand-made conflict: one camera 10 px off to the right; the more it weighs, the more it is followed."""
    pixels = project(cameras, np.zeros((1, 3)))
    pixels[0, :, 0] += 10  # at 4 m and 1000 px, 40 mm
    errors = []
    for weight in (0.01, 1, 100):
        weights = np.array([[weight], [1], [1], [1]])
        errors.append(triangulate_linear(cameras, pixels, weights)[0, 0])
    assert errors[0] == pytest.approx(0, abs=1e-4)
    assert errors[0] < errors[1] < errors[2]
    assert errors[2] == pytest.approx(0.04, rel=0.01)


def test_triangulates_in_spite_of_a_wrong_camera(cameras, rng):
    points = rng.normal(size=(20, 3)) * 0.3
    pixels = project(cameras, points)
    wrong = rng.integers(0, 4, 20)
    pixels[wrong, np.arange(20)] += 60
    found, inliers = triangulate(cameras, pixels, np.ones((4, 20)), tolerance=20)
    np.testing.assert_allclose(found, points, atol=1e-6)
    np.testing.assert_array_equal(inliers, wrong != np.arange(4)[:, None])


def test_prefers_more_cameras_to_a_smaller_error(cameras, rng):
    pixels = project(cameras, np.zeros((5, 3))) + rng.normal(size=(4, 5, 2))
    found, inliers = triangulate(cameras, pixels, np.ones((4, 5)), tolerance=20)
    assert inliers.all()
    np.testing.assert_allclose(found, triangulate_linear(cameras, pixels, np.ones((4, 5))))


def test_an_unseen_point_counts_for_nothing(cameras):
    pixels, weights = project(cameras, np.zeros((2, 3))), np.ones((4, 2))
    weights[1:, 0] = 0  # one camera alone sees the first point
    weights[2, 1] = 0
    found, inliers = triangulate(cameras, pixels, weights, tolerance=20)
    assert np.isnan(found[0]).all() and not inliers[:, 0].any()
    np.testing.assert_allclose(found[1], 0, atol=1e-9)
    np.testing.assert_array_equal(inliers[:, 1], [True, True, False, True])


def test_finds_a_similarity(rng):
    x = rng.normal(size=(30, 3))
    R = Rotation.from_rotvec([0.3, -1.2, 2.0]).as_matrix()
    found = similarity(x, 1.3 * x @ R.T + [1, 2, 3])
    assert found.scale == pytest.approx(1.3)
    np.testing.assert_allclose(found.R, R, atol=1e-9)
    np.testing.assert_allclose(found.t, [1, 2, 3], atol=1e-9)


def test_never_mirrors():
    x = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 0.5], [0, 0, -0.5]])
    found = similarity(x, x * [1, 1, -1])  # of all rotations the best leaves x as it is: z is the shortest axis
    np.testing.assert_allclose(found.R, np.eye(3), atol=1e-9)
    assert found.scale == pytest.approx((2 + 8 - 0.5) / (2 + 8 + 0.5))


def test_a_robust_similarity_resists_outliers(rng):
    x = rng.normal(size=(100, 3))
    y = 0.8 * x + [0, 0, 5]
    y[:20, 0] += 3
    found = robust_similarity(x, y, outlier_distance=0.01)
    np.testing.assert_allclose(found(x[20:]), y[20:], atol=0.02)
    assert np.abs(similarity(x, y)(x[20:]) - y[20:]).max() > 0.4


def test_turning_a_camera_keeps_its_centre(cameras):
    found = rotated_cameras(cameras, np.tile([0.1, -0.2, 0.3], (4, 1)))
    for before, after in zip(cameras, found):
        center = np.append(-np.linalg.solve(before[:, :3], before[:, 3]), 1)
        np.testing.assert_allclose(after @ center, 0, atol=1e-9)
        R = np.linalg.solve(K, before[:, :3]).T @ np.linalg.solve(K, after[:, :3])
        np.testing.assert_allclose(Rotation.from_matrix(R).as_rotvec(), [0.1, -0.2, 0.3], atol=1e-9)


def test_finds_how_cameras_were_turned(cameras, rng):
    """One camera by 1.1 and one by 0.6 degrees, a pixel of noise, and one point in thirty grossly wrong."""
    turns = np.zeros((4, 3))
    turns[0], turns[2] = [0.01, -0.01, 0.015], [0, 0.01, 0]
    points = rng.normal(size=(300, 3)) * 0.4
    pixels = project(rotated_cameras(cameras, turns), points) + rng.normal(size=(4, 300, 2))
    pixels[1, ::30] += rng.choice([-50, 50], (10, 2))
    weights = np.ones((4, 300))
    weights[3, :50] = 0
    found = refine_rotations(cameras, pixels, weights, outlier_pixels=3)
    np.testing.assert_allclose(found, turns, atol=0.002)
    refined = rotated_cameras(cameras, found)
    good = np.arange(300) % 30 != 0
    errors = [
        np.linalg.norm(triangulate_linear(P, pixels, weights)[good] - points[good], axis=-1).mean()
        for P in (cameras, refined)
    ]
    assert errors[1] < 0.006 < 0.01 < errors[0]
