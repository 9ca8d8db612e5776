"""The background that a static camera sees behind the person."""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from hashhuman.io import threads

_FEATURES = 400  # to track, at most
_LEAST_FEATURES = 20  # for a decision by features
_WINDOW = 21  # pixels: side of the window in which a feature is tracked
_CONTRAST = 2.0  # 8-bit levels a pixel, along a feature's weaker direction: less, and noise carries it away
_STILL_FRACTION = 0.9  # of the pictures
_LEVELS = 6.0  # mean change of a background without features in a static camera, in 8-bit levels


@dataclasses.dataclass(frozen=True)
class Background:
    """The scene without the person, in a region of the pictures."""

    colour: Float[np.ndarray, "H W 3"]
    """RGB in 8-bit levels, float32; zero where unknown."""
    known: Bool[np.ndarray, "H W"]
    """Where enough pictures show the background."""


def is_static(
    greys: Sequence[UInt8[np.ndarray, "H W"]], people: Sequence[Bool[np.ndarray, "H W"]], tolerance: float = 0.2
) -> bool:
    """Whether the camera stands still: features of the background keep their positions in the first picture.

    Folds of a curtain are no features: noise and shadows would move them. A picture with too few visible features is
    compared by its grey levels instead. A tenth of the pictures may disagree, since a limb that is missing from
    `people` can hide most features.

    Args:
        greys: the pictures in grey.
        people: where each picture may show the person.
        tolerance: the largest median shift of the features (pixels).
    """
    first, free = greys[0], ~people[0]

    def clear(person: np.ndarray) -> np.ndarray:  # where a window does not show the person
        return cv2.dilate(person.astype(np.uint8), np.ones((_WINDOW, _WINDOW), np.uint8)) == 0

    firm = clear(people[0]) & (contrast(first) >= _CONTRAST)
    points = cv2.goodFeaturesToTrack(first, _FEATURES, 0.01, 7, mask=firm.astype(np.uint8))

    def still(grey: np.ndarray, person: np.ndarray) -> bool:
        if points is not None:
            moved, found, _ = cv2.calcOpticalFlowPyrLK(first, grey, points, points.copy())
            x, y = points[:, 0].astype(int).T
            visible = clear(person)[y, x, None]
            shift = np.linalg.norm(moved - points, axis=-1)[(found > 0) & visible]
            if len(shift) >= _LEAST_FEATURES:
                return float(np.median(shift)) <= tolerance
        both = free & ~person
        return not both.any() or float(np.abs(grey[both].astype(np.float32) - first[both]).mean()) <= _LEVELS

    return float(np.mean([still(*later) for later in zip(greys[1:], people[1:])] or [True])) >= _STILL_FRACTION


def contrast(grey: UInt8[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """The root mean square slope (levels a pixel) in the window around each pixel, along its weaker direction."""
    slopes = [cv2.Sobel(grey, cv2.CV_32F, *axes, scale=1 / 8) for axes in ((1, 0), (0, 1))]
    xx, xy, yy = (cv2.blur(a * b, (_WINDOW, _WINDOW)) for a, b in ((slopes[0],) * 2, slopes, (slopes[1],) * 2))
    weaker = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    return np.sqrt(weaker.clip(0))


def median_background(
    images: UInt8[np.ndarray, "F H W 3"], people: Bool[np.ndarray, "F H W"], least: int = 3
) -> Background:
    """The median colour, at each pixel, of the pictures that do not show the person there.

    Args:
        images: RGB.
        people: where each picture may show the person.
        least: the background is known where at least this many pictures show it.
    """
    count = (~people).sum(0)

    def median(row: int) -> UInt8[np.ndarray, "W 3"]:
        # 255 sorts the samples that show the person behind all others.
        samples = np.where(people[:, row, :, None], np.uint8(255), images[:, row])
        samples.sort(axis=0)
        middle = (np.maximum(count[row], 1) - 1) // 2
        return np.take_along_axis(samples, middle[None, :, None], 0)[0]

    colour = np.stack(list(threads.ordered(median, range(images.shape[1]))))  # by rows, since sorting copies
    known = count >= least
    return Background(np.where(known[..., None], colour, 0).astype(np.float32), known)
