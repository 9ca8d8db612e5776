"""The plate of a static camera: what it sees where the person is not, and how far a single picture strays from that."""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from hashhuman.data.subject import Picture, Subject
from hashhuman.io import threads
from preprocess.masks.background import median_background

_GROWN = 5  # pixels around the mask that may still show the person
_FAINT = 0.02  # coverage from which a pixel may show the person
_DEVIATIONS = 1.5  # standard deviations of normal noise in its median distance from the median


@dataclasses.dataclass(frozen=True)
class Plate:
    """The scene without the person."""

    colour: UInt8[np.ndarray, "H W 3"]
    """RGB; zero where unknown."""
    known: Bool[np.ndarray, "H W"]
    """Where enough pictures show it."""
    noise: Float[np.ndarray, "H W"]
    """Standard deviation of a picture's colour around the plate's (8-bit levels, float32)."""


def measure_plate(reader: Subject, pictures: list[Picture]) -> Plate:
    """The median of pictures of one static camera, outside their masks.

    Args:
        reader: the subject, with masks.
        pictures: of one camera; their number sets time and memory.
    """
    images = np.stack(list(threads.ordered(reader.image, pictures)))
    people = np.stack([_person(reader.mask(picture)) for picture in pictures])
    background = median_background(images, people)
    colour = background.colour.astype(np.uint8)
    distances = np.stack([cv2.absdiff(image, colour) for image in images])
    spread = median_background(distances, people).colour.mean(-1)
    return Plate(colour, background.known, (_DEVIATIONS * spread).astype(np.float32))


def _person(mask: Float[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Where a picture may show the person."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _GROWN + 1, 2 * _GROWN + 1))
    return cv2.dilate((mask > _FAINT).astype(np.uint8), kernel) > 0
