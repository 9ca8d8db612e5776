"""Points seen by several cameras: triangulation, cameras that were turned after their calibration, and the similarity
transform that brings one set of points upon another."""

import dataclasses
import itertools

import numpy as np
import torch
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from hashhuman.geometry.camera import Camera


def projection(camera: Camera) -> np.ndarray:
    """K [R | T], (3, 4), float64."""
    return (camera.K.double() @ torch.column_stack([camera.R, camera.T]).double()).numpy()


def project(P: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Pixels (C, N, 2) of world points (N, 3) in cameras P = K [R | T] (C, 3, 4)."""
    x = np.einsum("cij,nj->cni", P[..., :3], points) + P[:, None, :, 3]
    return x[..., :2] / x[..., 2:]


def triangulate(
    P: np.ndarray, pixels: np.ndarray, weights: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """World points from the largest set of cameras that agree on each.

    Every set of two cameras or more is tried; of the largest whose pixels all lie within `tolerance` of the point's
    projections, the one with the smallest mean error is taken.

    Args:
        P: cameras K [R | T] (C, 3, 4).
        pixels: (C, N, 2).
        weights: (C, N), at least 0; a camera with weight 0 has not seen the point.
        tolerance: pixels.

    Returns:
        Points (N, 3), NaN where no two cameras agree, and which cameras (C, N) they come from.
    """
    cameras, count = weights.shape
    best, inliers = np.full((count, 3), np.nan), np.zeros((cameras, count), bool)
    for size in range(cameras, 1, -1):
        least = np.full(count, np.inf)
        missing = ~inliers.any(0)
        for chosen in map(list, itertools.combinations(range(cameras), size)):
            points = intersect(P[chosen], pixels[chosen], weights[chosen])
            error = np.linalg.norm(project(P[chosen], points) - pixels[chosen], axis=-1)
            agree = missing & (weights[chosen] > 0).all(0) & (error < tolerance).all(0) & (error.mean(0) < least)
            least[agree], best[agree] = error.mean(0)[agree], points[agree]
            inliers[:, agree] = np.isin(np.arange(cameras), chosen)[:, None]
    return best, inliers


def intersect(P: np.ndarray, pixels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted linear triangulation (Hartley and Zisserman, section 12.2): points (N, 3) of pixels (C, N, 2)."""
    rows = pixels[..., None] * P[:, None, 2:3] - P[:, None, :2]  # C, N, 2, 4
    rows = rows / np.linalg.norm(
        rows[..., :3], axis=-1, keepdims=True
    )  # metres from the plane of a pixel's column, row
    rows = rows * weights[..., None, None]
    normal = np.einsum("cnri,cnrj->nij", rows, rows)
    return -np.linalg.solve(normal[:, :3, :3] + 1e-12 * np.eye(3), normal[:, :3, 3:])[..., 0]


def turned(P: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Cameras K [R | T] (C, 3, 4) turned about their centres, by axis-angles (C, 3) in the world (radians)."""
    centers = -np.linalg.solve(P[..., :3], P[..., 3:])
    M = P[..., :3] @ Rotation.from_rotvec(turns).as_matrix()
    return np.concatenate([M, -M @ centers], -1)


def refine_turns(P: np.ndarray, pixels: np.ndarray, weights: np.ndarray, inside: float) -> np.ndarray:
    """How cameras (C, 3, 4) have to be turned about their centres for the pixels (C, N, 2) of points to agree best.

    The centres stay, so that nothing is left undetermined. Errors above `inside` (pixels) count by their size, not its
    square. Points that not all cameras have seen (weight 0) are left out. Returns axis-angles as `turned` takes them.
    """
    everywhere = (weights > 0).all(0)
    pixels, weights = pixels[:, everywhere], weights[:, everywhere]

    def residuals(turns: np.ndarray) -> np.ndarray:
        moved = turned(P, turns.reshape(-1, 3))
        error = project(moved, intersect(moved, pixels, weights)) - pixels
        return (error * weights[..., None]).ravel()

    found = least_squares(residuals, np.zeros(3 * len(P)), loss="soft_l1", f_scale=inside, x_scale=0.01)
    return found.x.reshape(-1, 3)


@dataclasses.dataclass(frozen=True)
class Similarity:
    """y = scale R x + t."""

    scale: float
    R: np.ndarray
    t: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Maps points (..., 3)."""
        return self.scale * x @ self.R.T + self.t


def similarity(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> Similarity:
    """The best transform of points x onto y, both (N, 3), in the (weighted) least-squares sense (Umeyama 1991)."""
    w = np.ones(len(x)) if weights is None else weights
    w = (w / w.sum())[:, None]
    x_mean, y_mean = (w * x).sum(0), (w * y).sum(0)
    x, y = x - x_mean, y - y_mean
    u, s, vt = np.linalg.svd((w * y).T @ x)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    R = (u * sign) @ vt
    scale = float((s * sign).sum() / (w * x**2).sum())
    return Similarity(scale, R, y_mean - scale * R @ x_mean)


def robust_similarity(x: np.ndarray, y: np.ndarray, inside: float, iterations: int = 50) -> Similarity:
    """The same for Huber's loss: points farther apart than `inside` (units of y) count by distance, not its square."""
    weights = np.ones(len(x))
    for _ in range(iterations):
        found = similarity(x, y, weights)
        weights = inside / np.linalg.norm(found(x) - y, axis=-1).clip(inside)
    return found
