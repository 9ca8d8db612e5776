"""Whether pictures were filmed as they are: signs of a drawing, of a rendered scene, and of several pictures in one."""

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from preprocess.doctor.inspection import Inspection, Person

_STEP = 8.0  # levels: a smaller change from one pixel to the next is no edge
_ALONG = 0.7  # of the height or width: a seam shows at least so far, but not where both sides are dark
_END, _AT_ENDS = 0.1, 0.5  # a seam reaches both rims, unlike doors: in such ends of it, so much of it shows
_ALWAYS = 0.9  # of the pictures must show the edge
_RIM = 0.04  # of the width or height: edges nearer to the rim are those of black bars
_AROUND = 0.15  # of the person's height: what is left out of the background on each side


def flat_share(image: UInt8[np.ndarray, "H W 3"], person: Person) -> float:
    """The share of pixels around the person that equal their neighbours below and to the right, as in a drawing.

    Cameras and lenses leave few; so do textures.
    """
    left, top, right, bottom = _box(person, 0, image)
    part = image[top : bottom + 1, left : right + 1]
    if min(part.shape[:2]) < 2:
        return 0.0
    beside, below = part[:-1, :-1] == part[:-1, 1:], part[:-1, :-1] == part[1:, :-1]
    return float((beside & below).all(-1).mean())


def unchanged_share(inspections: Sequence[Inspection]) -> float:
    """The median share of the background that is exactly the same in successive pictures, which no camera achieves."""
    shares = []
    for before, after in itertools.pairwise(inspections):
        free = _background(before) & _background(after)
        if free.any():
            shares.append(float((before.image == after.image).all(-1)[free].mean()))
    return float(np.median(shares)) if shares else 0.0


def seams(images: Sequence[UInt8[np.ndarray, "H W 3"]]) -> int:
    """How many straight edges cross nearly the whole picture at the same place in nearly every picture."""
    found = 0
    for axis in (0, 1):
        count = images[0].shape[1 - axis]
        places = np.mean([_crossed(image, axis) for image in images], axis=0) >= _ALWAYS
        rim = max(2, round(_RIM * count))
        places[:rim] = places[len(places) - rim :] = False
        found += int((np.diff(places.astype(int), prepend=0) == 1).sum())
    return found


def _crossed(image: UInt8[np.ndarray, "H W 3"], axis: int) -> Bool[np.ndarray, "N"]:
    """Between which columns (axis 0) or rows (1) an edge runs along the whole picture, and no slope."""
    lines = (image if axis == 0 else image.swapaxes(0, 1)).astype(np.int16)
    step = np.abs(np.diff(lines, axis=1)).max(-1)
    slope = cv2.dilate(step.astype(np.float32), np.ones((1, 7), np.float32))
    sharp = (step > _STEP) & (step >= 0.999 * slope)
    end = max(1, round(_END * len(sharp)))
    ends = [sharp[:end].mean(0) >= _AT_ENDS, sharp[-end:].mean(0) >= _AT_ENDS]
    return np.asarray((sharp.mean(0) >= _ALONG) & ends[0] & ends[1])


def _background(inspection: Inspection) -> Bool[np.ndarray, "H W"]:
    free = np.ones(inspection.image.shape[:2], bool)
    if inspection.person is not None:
        left, top, right, bottom = _box(inspection.person, _AROUND, inspection.image)
        free[top:bottom, left:right] = False
    return free


def _box(person: Person, margin: float, image: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in whole pixels of the picture, with a margin in heights of the person."""
    low, high = person.box()
    reach = margin * (high - low).max()
    first, last = (low - reach).astype(int).clip(0), (high + reach).astype(int) + 1
    return int(first[0]), int(first[1]), min(int(last[0]), image.shape[1]), min(int(last[1]), image.shape[0])
