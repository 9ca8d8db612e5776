"""Draws masks and part labels over pictures, for visual checks."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from hashhuman.data import lip
from hashhuman.data.subject import Picture, Subject
from hashhuman.io import threads
from hashhuman.io.files import write_image

EDGE = (255, 40, 40)
# Easier to tell apart than the palette's own colours: one for each LIP class that the masks stage writes.
_PART_COLOURS = {
    5: (170, 90, 220),
    13: (240, 90, 160),
    14: (255, 160, 40),
    15: (60, 140, 255),
    16: (90, 200, 90),
    17: (240, 220, 70),
}


def draw_edge(image: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """The RGB picture, dimmed outside the mask, with the mask's edge in red."""
    drawn = np.where(mask[..., None], image, image // 2)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(drawn, contours, -1, EDGE, max(1, round(max(image.shape) / 700)))


def draw_parts(image: UInt8[np.ndarray, "H W 3"], classes: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """The RGB picture, dimmed outside the person, with each part tinted; `classes` are LIP's."""
    colours = lip.palette()
    for part, colour in _PART_COLOURS.items():
        colours[part] = colour
    tinted = (image.astype(np.uint16) + 2 * colours[classes].astype(np.uint16)) // 3
    return np.where((classes != 0)[..., None], tinted, image // 2).astype(np.uint8)


def draw_stage(subject: Subject, folder: Path, count: int) -> None:
    """Writes at most `count` evenly spaced drawings of the mask's edge and, next to it, the parts.

    They are named by frame. A subject with several cameras gets one folder for each camera.
    """
    several = len(subject.camera_names) > 1

    def draw(picture: Picture) -> None:
        image, mask = subject.image(picture), subject.mask(picture) > 0.5
        drawn = np.concatenate([draw_edge(image, mask), draw_parts(image, subject.parts(picture))], 1)
        place = folder / subject.camera_names[picture.camera] if several else folder
        write_image(place / f"{picture.frame:06d}.jpg", drawn)

    chosen = np.unique(np.linspace(0, len(subject.pictures) - 1, count).round().astype(int))
    for _ in threads.ordered(draw, [subject.pictures[i] for i in chosen]):
        pass
