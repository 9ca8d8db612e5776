"""Geometry of several views: triangulation, correction of camera rotations, and alignment of two sets of points.

Shapes: C cameras, N points. A projection matrix is P = K [R | T], so that P (x, 1) is a homogeneous pixel position.
"""

import dataclasses
import itertools

import numpy as np
import torch
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from hashhuman.geometry.camera import Camera


def projection(camera: Camera) -> np.ndarray:
    """The projection matrix K [R | T], (3, 4), float64."""
    return (camera.K.double() @ torch.column_stack([camera.R, camera.T]).double()).numpy()


def project(P: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Pixels (C, N, 2) of world points (N, 3) in cameras with projection matrices P (C, 3, 4)."""
    x = np.einsum("cij,nj->cni", P[..., :3], points) + P[:, None, :, 3]
    return x[..., :2] / x[..., 2:]


def triangulate(
    P: np.ndarray, pixels: np.ndarray, weights: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Triangulates each point from the largest set of cameras that agree on it.

    A set of two or more cameras agrees if all reprojection errors are below `tolerance`. Among the agreeing sets of the
    largest size, the one with the smallest mean error is used.

    Args:
        P: projection matrices (C, 3, 4).
        pixels: observed positions (C, N, 2).
        weights: (C, N), at least 0; 0 means that the camera does not see the point.
        tolerance: pixels.

    Returns:
        World points (N, 3), NaN where no two cameras agree; and a mask (C, N) of the cameras that each comes from.
    """
    cameras, count = weights.shape
    best, inliers = np.full((count, 3), np.nan), np.zeros((cameras, count), bool)
    for size in range(cameras, 1, -1):
        least = np.full(count, np.inf)
        missing = ~inliers.any(0)
        for chosen in map(list, itertools.combinations(range(cameras), size)):
            points = triangulate_linear(P[chosen], pixels[chosen], weights[chosen])
            error = np.linalg.norm(project(P[chosen], points) - pixels[chosen], axis=-1)
            agree = missing & (weights[chosen] > 0).all(0) & (error < tolerance).all(0) & (error.mean(0) < least)
            least[agree], best[agree] = error.mean(0)[agree], points[agree]
            inliers[:, agree] = np.isin(np.arange(cameras), chosen)[:, None]
    return best, inliers


def triangulate_linear(P: np.ndarray, pixels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted linear triangulation (Hartley and Zisserman, Multiple View Geometry, section 12.2).

    Args:
        P: projection matrices (C, 3, 4).
        pixels: observed positions (C, N, 2).
        weights: of each observation (C, N).

    Returns:
        World points (N, 3).
    """
    rows = pixels[..., None] * P[:, None, 2:3] - P[:, None, :2]  # C, N, 2, 4
    # With unit normals, a residual is the distance (m) from the plane through the camera and the pixel's column or row.
    rows = rows / np.linalg.norm(rows[..., :3], axis=-1, keepdims=True)
    rows = rows * weights[..., None, None]
    normal = np.einsum("cnri,cnrj->nij", rows, rows)
    return -np.linalg.solve(normal[:, :3, :3] + 1e-12 * np.eye(3), normal[:, :3, 3:])[..., 0]


def rotated_cameras(P: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Projection matrices (C, 3, 4) of cameras rotated about their centres.

    Args:
        P: projection matrices (C, 3, 4).
        rotations: axis-angles (C, 3) in world coordinates (radians); directions in the world are rotated by them
            before the camera sees them.
    """
    centers = -np.linalg.solve(P[..., :3], P[..., 3:])
    M = P[..., :3] @ Rotation.from_rotvec(rotations).as_matrix()
    return np.concatenate([M, -M @ centers], -1)


def refine_rotations(P: np.ndarray, pixels: np.ndarray, weights: np.ndarray, outlier_pixels: float) -> np.ndarray:
    """The rotations of cameras about their centres that make their observations agree best.

    For cameras that were moved on their tripods after the calibration. The centres stay fixed, so that the problem is
    well determined. The loss is soft L1: it grows linearly for errors above `outlier_pixels`.

    Args:
        P: projection matrices (C, 3, 4).
        pixels: observed positions (C, N, 2).
        weights: (C, N), at least 0; only points that every camera sees (weight above 0) are used.
        outlier_pixels: pixels.

    Returns:
        Axis-angles (C, 3), as `rotated_cameras` takes them.
    """
    seen_by_all = (weights > 0).all(0)
    pixels, weights = pixels[:, seen_by_all], weights[:, seen_by_all]

    def residuals(rotations: np.ndarray) -> np.ndarray:
        rotated = rotated_cameras(P, rotations.reshape(-1, 3))
        error = project(rotated, triangulate_linear(rotated, pixels, weights)) - pixels
        return (error * weights[..., None]).ravel()

    found = least_squares(residuals, np.zeros(3 * len(P)), loss="soft_l1", f_scale=outlier_pixels, x_scale=0.01)
    return found.x.reshape(-1, 3)


@dataclasses.dataclass(frozen=True)
class Similarity:
    """The similarity transform y = scale R x + t."""

    scale: float
    R: np.ndarray  # (3, 3), a rotation
    t: np.ndarray  # (3,)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Transforms points (..., 3)."""
        return self.scale * x @ self.R.T + self.t


def similarity(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> Similarity:
    """The similarity transform of points x onto points y, both (N, 3), with the least (weighted) squared error.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", TPAMI 1991. `weights`
    (N,) default to 1.
    """
    w = np.ones(len(x)) if weights is None else weights
    w = (w / w.sum())[:, None]
    x_mean, y_mean = (w * x).sum(0), (w * y).sum(0)
    x, y = x - x_mean, y - y_mean
    u, s, vt = np.linalg.svd((w * y).T @ x)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    R = (u * sign) @ vt
    scale = float((s * sign).sum() / (w * x**2).sum())
    return Similarity(scale, R, y_mean - scale * R @ x_mean)


def robust_similarity(x: np.ndarray, y: np.ndarray, outlier_distance: float, iterations: int = 50) -> Similarity:
    """As `similarity`, for Huber's loss, by iteratively reweighted least squares.

    Args:
        x, y: points (N, 3).
        outlier_distance: from this distance on (units of y) the loss grows linearly, not quadratically.
        iterations: how often the weights are updated.
    """
    weights = np.ones(len(x))
    for _ in range(iterations):
        found = similarity(x, y, weights)
        weights = outlier_distance / np.linalg.norm(found(x) - y, axis=-1).clip(outlier_distance)
    return found
