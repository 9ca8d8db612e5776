"""What a fixed camera sees behind the person."""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

_FEATURES = 400
_LEAST_FEATURES = 20
_LEVELS = 6.0  # how much a background without features may change, in 8-bit levels


@dataclasses.dataclass(frozen=True)
class Background:
    """The scene without the person."""

    colour: Float[np.ndarray, "H W 3"]
    """8-bit levels, float32; zero where unknown."""
    known: Bool[np.ndarray, "H W"]
    """Seen often enough without the person."""


def is_static(
    greys: Sequence[UInt8[np.ndarray, "H W"]], people: Sequence[Bool[np.ndarray, "H W"]], tolerance: float = 0.2
) -> bool:
    """Whether the camera stands still: features outside `people` stay within `tolerance` pixels of the first picture.

    Where the background has no features to follow, it counts as still if it keeps its colours.
    """
    first, free = greys[0], ~people[0]
    points = cv2.goodFeaturesToTrack(first, _FEATURES, 0.01, 7, mask=free.astype(np.uint8))
    for grey, person in zip(greys[1:], people[1:]):
        if points is None or len(points) < _LEAST_FEATURES:
            both = free & ~person
            if both.any() and np.abs(grey[both].astype(np.float32) - first[both]).mean() > _LEVELS:
                return False
            continue
        moved, found, _ = cv2.calcOpticalFlowPyrLK(first, grey, points, points.copy())
        shift = np.linalg.norm(moved - points, axis=-1)[found > 0]
        if len(shift) < _LEAST_FEATURES or np.median(shift) > tolerance:
            return False
    return True


def median_background(
    images: UInt8[np.ndarray, "F H W 3"], people: Bool[np.ndarray, "F H W"], least: int = 3
) -> Background:
    """The median, at each pixel, of the pictures that do not show the person there; known where `least` remain."""
    count = (~people).sum(0)
    colour = np.empty(images.shape[1:], np.float32)
    for row in range(images.shape[1]):  # by rows: sorting makes copies
        # the person's samples sort behind all others
        samples = np.where(people[:, row, :, None], np.uint8(255), images[:, row])
        samples.sort(axis=0)
        middle = (np.maximum(count[row], 1) - 1) // 2
        colour[row] = np.take_along_axis(samples, middle[None, :, None], 0)[0]
    known = count >= least
    return Background(np.where(known[..., None], colour, 0).astype(np.float32), known)
