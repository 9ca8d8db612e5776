"""The person's outline: signed distance to the mask, and points along its contour.

Each frame's mask is resampled to a square window around the person. The cost of the fit then depends neither on the
size of the pictures nor on the person's distance from the camera.
"""

import dataclasses

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from hashhuman.io import threads
from preprocess.body_fit.evidence.window import look_up

WINDOW = 160  # cells along the side of a window
MARGIN = 0.15  # of the longer side of the person's box, on each side
POINTS = 240  # contour points per frame
BORDER = 3  # pixels: an outline nearer to the picture's edge was cut off by it, and is not the person's outline


@dataclasses.dataclass(frozen=True)
class Silhouettes:
    """Outlines of F frames: windows of S x S cells, and C contour points each. Lengths are in pixels of the picture."""

    distance: Float[Tensor, "F 1 S S"]
    """Signed distance of each cell to the mask: positive outside the person, zero beyond the picture."""
    origin: Float[Tensor, "F 2"]
    """Position of the window's first cell in the picture."""
    step: Float[Tensor, "F"]
    """Pixels per cell."""
    points: Float[Tensor, "F C 2"]
    """Evenly spaced along the contours."""
    normals: Float[Tensor, "F C 2"]
    """Outward unit normals of the contour at these points."""
    point_valid: Bool[Tensor, "F C"]
    """False where a point may lie on the picture's edge instead of the person's, and in frames without a mask."""
    valid: Bool[Tensor, "F"]
    """Whether the frame has a mask."""

    def signed_distance(self, pixels: Float[Tensor, "F M 2"]) -> Float[Tensor, "F M"]:
        """Signed distance to the mask (pixels) at points of the picture; outside the window, that at its edge."""
        return look_up(self.distance, self.origin, self.step, pixels, "border")[:, 0]


def observe_silhouettes(masks: list[np.ndarray | None]) -> Silhouettes:
    """Outlines from 8-bit masks (H x W; None where there is none).

    Of each mask, the largest connected component counts, and those of at least a fifth of its area.
    """
    frames = threads.ordered(_observe, masks)
    stacked = [torch.from_numpy(np.stack(x)) for x in zip(*frames)]
    return Silhouettes(*stacked)


def _observe(mask: np.ndarray | None) -> tuple[np.ndarray | np.generic, ...]:
    """One frame's values of the fields of `Silhouettes`, in their order."""
    person = None if mask is None else _main_components(mask >= 128)
    if person is None or not person.any():
        flat = np.zeros((1, WINDOW, WINDOW), np.float32)
        nowhere = np.zeros((POINTS, 2), np.float32)
        return flat, nowhere[0], np.float32(1), nowhere, nowhere, np.zeros(POINTS, bool), np.bool_(False)
    ys, xs = np.nonzero(person)
    low = np.array([xs.min(), ys.min()], np.float32)
    high = np.array([xs.max(), ys.max()], np.float32)
    side = (high - low).max() * (1 + 2 * MARGIN)
    step = np.float32(side / (WINDOW - 1))
    origin = (low + high) / 2 - side / 2
    affine = np.array([[step, 0, origin[0]], [0, step, origin[1]]], np.float32)
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_AREA if step > 1 else cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(person.astype(np.float32), (0, 0), max(0.3, 0.4 * float(step)))
    window = cv2.warpAffine(soft, affine, (WINDOW, WINDOW), flags=flags) >= 0.5
    outside = np.asarray(ndimage.distance_transform_edt(~window))
    inside = np.asarray(ndimage.distance_transform_edt(window))
    distance = (np.where(window, 0.5 - inside, outside - 0.5) * step).astype(np.float32)
    at = origin[:, None] + step * np.arange(WINDOW)  # pixel x and y of the window's columns and rows
    beyond = (at < -0.5) | (at > np.array(person.shape)[::-1, None] - 0.5)
    distance[beyond[1][:, None] | beyond[0]] = 0  # the person may extend beyond the picture
    points, normals, good = _contour(soft, person.shape)
    return distance[None], origin.astype(np.float32), step, points, normals, good, np.bool_(True)


def _main_components(mask: np.ndarray) -> np.ndarray:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return mask
    area = stats[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    return np.isin(labels, np.flatnonzero(area >= 0.2 * area.max()))


def _contour(soft: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points evenly along the outlines, those of holes included, their outward normals, and whether to use them."""
    outlines, _ = cv2.findContours((soft >= 0.5).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    chain = np.concatenate([o[:, 0] for o in outlines if len(o) >= 12]).astype(np.float32)
    points = chain[np.linspace(0, len(chain) - 1, POINTS).astype(int)]
    smooth = cv2.GaussianBlur(soft, (0, 0), 2)
    gradient = np.stack([cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)], -1)
    at = points.astype(int)
    normals = -gradient[at[:, 1], at[:, 0]]
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    height, width = shape[:2]
    inner = (points >= BORDER).all(1) & (points < np.array([width, height]) - BORDER).all(1)
    return points, normals / np.maximum(length, 1e-6), inner & (length[:, 0] > 1e-4)
