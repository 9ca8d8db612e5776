"""Bodies stand where the camera, the points or the world say."""

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hashhuman.errors import UserError
from preprocess.body_fit.init.placement import camera_from_world, fit_translation, under_camera

K = torch.tensor([[600.0, 0, 319.5], [0, 600, 239.5], [0, 0, 1]])
SHOULDERS = torch.tensor([[-0.2, -0.4, 0.0], [0.2, -0.4, 0.0], [0.0, 0.0, 0.0], [0.1, 0.8, 0.1], [-0.1, 0.8, -0.1]])


def project(points: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    pixels = points @ matrix.T
    return pixels[..., :2] / pixels[..., 2:]


def turns(*degrees: float) -> torch.Tensor:
    return torch.from_numpy(Rotation.from_euler("y", [[d] for d in degrees], degrees=True).as_matrix()).float()


@pytest.mark.parametrize("focal", [300.0, 5000.0])
def test_another_focal_length_looks_the_same(focal: float):
    """A body at another distance, and turned with the ray to it, is seen at the same pixels, but for perspective."""
    other = torch.tensor([[focal, 0, 300.5], [0, focal, 250.5], [0, 0, 1]])
    root = turns(10, 120)
    pelvis = torch.tensor([[1.2, 0.3, 5.0], [0.0, 0.0, 4.0]])
    turned, moved = under_camera(root, pelvis, K, other)
    torch.testing.assert_close(project(moved, other), project(pelvis, K), atol=1e-3, rtol=0)
    torch.testing.assert_close(moved[:, 2], pelvis[:, 2] * focal / 600)

    def small(root: torch.Tensor, pelvis: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        body = 0.1 * SHOULDERS  # so small that its own depth does not matter
        return project(torch.einsum("fij,lj->fli", root, body) + pelvis[:, None], matrix)

    seen, again = small(root, pelvis, K), small(turned, moved, other)
    aspect = 1.07 if focal == 300 else 1.04  # what lies off the axis is stretched by a wide lens
    size = (again - again.mean(1, keepdim=True)).norm(dim=-1) / (seen - seen.mean(1, keepdim=True)).norm(dim=-1)
    assert (size < aspect).all() and (size > 1 / aspect).all()
    rays = [torch.nn.functional.normalize(x, dim=-1) for x in (pelvis, moved)]
    facing = [torch.einsum("fij,fi->fj", r, ray) for r, ray in zip((root, turned), rays)]
    torch.testing.assert_close(*facing, atol=1e-5, rtol=0)  # the side that the body shows is the same


def test_the_same_camera_changes_nothing():
    root, pelvis = turns(10, 120), torch.tensor([[1.2, 0.3, 5.0], [0.0, 0.0, 4.0]])
    turned, moved = under_camera(root, pelvis, K, K)
    torch.testing.assert_close(turned, root, atol=1e-6, rtol=0)
    torch.testing.assert_close(moved, pelvis, atol=1e-5, rtol=0)


def walk() -> tuple[torch.Tensor, torch.Tensor]:
    """Landmarks about the pelvis, and where the pelvis is: somebody who turns and walks away."""
    landmarks = torch.einsum("fij,lj->fli", turns(*range(0, 200, 20)), SHOULDERS)
    t = torch.linspace(0, 1, 10)
    return landmarks, torch.stack([t - 0.5, 0.1 * t, 3 + 2 * t], -1)


def test_settling_finds_size_and_origin():
    """A tool's person is 8 % larger, and its origin lies 25 cm above the pelvis."""
    landmarks, pelvis = walk()
    image = project(landmarks + pelvis[:, None], K)
    transl = 1.08 * pelvis + torch.tensor([0.02, -0.25, 0.03])
    weight = torch.ones(image.shape[:2])
    weight[3], image[3] = 0, 0  # a picture that shows nothing
    found = fit_translation(transl, landmarks, image, weight, K)
    torch.testing.assert_close(found, pelvis, atol=0.02, rtol=0)
    assert (transl - pelvis).norm(dim=1).min() > 0.2


def test_nothing_seen_leaves_the_translation():
    landmarks, pelvis = walk()
    zero = torch.zeros(landmarks.shape[:2])
    torch.testing.assert_close(fit_translation(pelvis, landmarks, zero[..., None].repeat(1, 1, 2), zero, K), pelvis)


def world() -> tuple[torch.Tensor, torch.Tensor, np.ndarray, np.ndarray]:
    """Points of a world whose z axis points up, what a camera sees of them, and the camera's R and T."""
    landmarks, pelvis = walk()
    points = landmarks + pelvis[:, None]
    R = Rotation.from_euler("xz", [-90, 30], degrees=True).as_matrix()
    T = np.array([0.1, -0.2, 0.5])
    return (points - torch.from_numpy(T).float()) @ torch.from_numpy(R).float(), project(points, K), R, T


def test_the_camera_of_a_world_is_found_despite_wrong_points():
    points, image, R, T = world()
    image[2, 1] += 200
    image[5, 3] -= 300
    R_found, T_found = camera_from_world(points, image, torch.ones(image.shape[:2]), K)
    np.testing.assert_allclose(R_found, R, atol=1e-3)
    np.testing.assert_allclose(T_found, T, atol=5e-3)
    seen, _ = cv2.projectPoints(points[0].numpy(), cv2.Rodrigues(R)[0], T, K.numpy(), None)
    np.testing.assert_allclose(seen[:, 0], project(points[0] @ R_found.T + T_found, K), atol=1)


def test_a_camera_that_moves_is_refused():
    points, image, _, _ = world()
    image = image + 150 * torch.linspace(-1, 1, len(image))[:, None, None].sign() * torch.tensor([1.0, 0.6])
    image[::2] = image[::2].flip(1)
    with pytest.raises(UserError, match="no static camera"):
        camera_from_world(points, image, torch.ones(image.shape[:2]), K)


def test_too_few_points_are_refused():
    points, image, _, _ = world()
    with pytest.raises(UserError, match="too little of the person"):
        camera_from_world(points, image, torch.full(image.shape[:2], 0.1), K)
