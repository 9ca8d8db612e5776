"""The person's outline as a fit sees it: distance to the mask, and points along its contour.

Each frame's mask is resampled to a square window around the person, so that cost depends neither on the picture's size
nor on how far away the person stands.
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

WINDOW = 160  # cells along a side
MARGIN = 0.15  # of the person's box, on each side
POINTS = 240  # contour points a frame
BORDER = 3  # pixels: an outline nearer than this to the picture's edge is the picture's, not the person's


@dataclasses.dataclass(frozen=True)
class Silhouettes:
    """F frames; pixels of the picture unless said otherwise."""

    distance: Float[Tensor, "F 1 S S"]  # to the mask, in its window: positive outside, zero beyond the picture
    origin: Float[Tensor, "F 2"]  # the window's first cell
    step: Float[Tensor, "F"]  # pixels a cell
    points: Float[Tensor, "F C 2"]  # on the contour
    normals: Float[Tensor, "F C 2"]  # outward
    point_valid: Bool[Tensor, "F C"]
    valid: Bool[Tensor, "F"]  # the frame has a mask

    def signed_distance(self, pixels: Float[Tensor, "F M 2"]) -> Float[Tensor, "F M"]:
        """Distance to the mask at points of the picture; beyond the window, the value at its edge."""
        return look_up(self.distance, self.origin, self.step, pixels, "border")[:, 0]


def observe_silhouettes(masks: list[np.ndarray | None]) -> Silhouettes:
    """From 8-bit masks (H x W; None where there is none); the largest blob counts, and what is a fifth of it."""
    frames = threads.ordered(_observe, masks)
    stacked = [torch.from_numpy(np.stack(x)) for x in zip(*frames)]
    return Silhouettes(*stacked)


def _observe(mask: np.ndarray | None) -> tuple[np.ndarray | np.generic, ...]:
    person = None if mask is None else _main_blobs(mask >= 128)
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
    distance[beyond[1][:, None] | beyond[0]] = 0  # what lies beyond the picture may well be the person
    points, normals, good = _contour(soft, person.shape)
    return distance[None], origin.astype(np.float32), step, points, normals, good, np.bool_(True)


def _main_blobs(mask: np.ndarray) -> np.ndarray:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return mask
    area = stats[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    return np.isin(labels, np.flatnonzero(area >= 0.2 * area.max()))


def _contour(soft: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points evenly along the outlines, holes included, their outward normals, and whether to use them."""
    outlines, _ = cv2.findContours((soft >= 0.5).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    chain = np.concatenate([o[:, 0] for o in outlines if len(o) >= 12]).astype(np.float32)
    points = chain[np.linspace(0, len(chain) - 1, POINTS).astype(int)]
    smooth = cv2.GaussianBlur(soft, (0, 0), 2)
    slope = np.stack([cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)], -1)
    at = points.astype(int)
    normals = -slope[at[:, 1], at[:, 0]]
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    height, width = shape[:2]
    inner = (points >= BORDER).all(1) & (points < np.array([width, height]) - BORDER).all(1)
    return points, normals / np.maximum(length, 1e-6), inner & (length[:, 0] > 1e-4)
