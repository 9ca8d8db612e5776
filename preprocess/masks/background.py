"""What a fixed camera sees behind the person."""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from hashhuman.io import threads

_FEATURES = 400
_LEAST_FEATURES = 20
_REACH = 21  # pixels: the window that a feature is followed in
_STILL = 0.9  # of the pictures
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

    Where too few features of the background are in sight, it counts as still if it keeps its colours. A tenth of the
    pictures may disagree: a limb that `people` lacks can cover most features.
    """
    first, free = greys[0], ~people[0]
    points = cv2.goodFeaturesToTrack(first, _FEATURES, 0.01, 7, mask=free.astype(np.uint8))
    reach = np.ones((_REACH, _REACH), np.uint8)

    def still(grey: np.ndarray, person: np.ndarray) -> bool:
        if points is not None:
            moved, found, _ = cv2.calcOpticalFlowPyrLK(first, grey, points, points.copy())
            x, y = points[:, 0].astype(int).T
            in_sight = cv2.dilate(person.astype(np.uint8), reach)[y, x, None] == 0
            shift = np.linalg.norm(moved - points, axis=-1)[(found > 0) & in_sight]
            if len(shift) >= _LEAST_FEATURES:
                return float(np.median(shift)) <= tolerance
        both = free & ~person
        return not both.any() or float(np.abs(grey[both].astype(np.float32) - first[both]).mean()) <= _LEVELS

    return float(np.mean([still(*later) for later in zip(greys[1:], people[1:])] or [True])) >= _STILL


def median_background(
    images: UInt8[np.ndarray, "F H W 3"], people: Bool[np.ndarray, "F H W"], least: int = 3
) -> Background:
    """The median, at each pixel, of the pictures that do not show the person there; known where `least` remain."""
    count = (~people).sum(0)

    def median(row: int) -> UInt8[np.ndarray, "W 3"]:
        # the person's samples sort behind all others
        samples = np.where(people[:, row, :, None], np.uint8(255), images[:, row])
        samples.sort(axis=0)
        middle = (np.maximum(count[row], 1) - 1) // 2
        return np.take_along_axis(samples, middle[None, :, None], 0)[0]

    colour = np.stack(list(threads.ordered(median, range(images.shape[1]))))  # by rows: sorting makes copies
    known = count >= least
    return Background(np.where(known[..., None], colour, 0).astype(np.float32), known)
