"""Draws points and bones over pictures: the person's left in orange, right in blue, hidden ones faint."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from hashhuman.io.files import read_rgb, write_image
from preprocess.keypoints.movenet import Detection
from preprocess.keypoints.points import Keypoints
from preprocess.skeleton import NAMES

LEFT, RIGHT, MIDDLE = (255, 150, 20), (40, 130, 255), (120, 220, 90)
_SIDE = (
    ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "index"), ("wrist", "pinky"), ("wrist", "thumb"),
    ("shoulder", "hip"), ("hip", "knee"), ("knee", "ankle"), ("ankle", "heel"), ("heel", "foot_index"),
    ("ankle", "foot_index"), ("eye", "ear"),
)  # fmt: skip
_ACROSS = (
    ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), ("nose", "left_eye"), ("nose", "right_eye"),
    ("mouth_left", "mouth_right"),
)  # fmt: skip
BONES = (
    *((f"left_{a}", f"left_{b}", LEFT) for a, b in _SIDE),
    *((f"right_{a}", f"right_{b}", RIGHT) for a, b in _SIDE),
    *((a, b, MIDDLE) for a, b in _ACROSS),
)


def draw_points(image: np.ndarray, points: np.ndarray, visibility: np.ndarray) -> np.ndarray:
    """A copy of the picture with points and bones drawn over it.

    Args:
        image: (H, W, 3) uint8.
        points: (33, 2), pixels.
        visibility: (33,) in [0, 1]; at 0 a point is unknown and not drawn, up to 0.5 it is hidden and drawn faint.
    """
    faint, strong = image.copy(), image.copy()
    thickness = max(2, round(max(image.shape) / 400))
    scaled = np.round(points * 16).astype(int)  # cv2 draws at 1/16 pixel
    for a, b, colour in BONES:
        i, j = NAMES.index(a), NAMES.index(b)
        if min(visibility[i], visibility[j]) == 0:
            continue  # unknown
        for layer in (faint, strong) if min(visibility[i], visibility[j]) > 0.5 else (faint,):
            cv2.line(layer, tuple(scaled[i]), tuple(scaled[j]), colour, thickness, cv2.LINE_AA, 4)
    for i in np.flatnonzero(visibility > 0.5):
        cv2.circle(strong, tuple(scaled[i]), 16 * thickness, (255, 255, 255), -1, cv2.LINE_AA, 4)
    return cv2.addWeighted(faint, 0.35, strong, 0.65, 0)


def draw_people(image: np.ndarray, people: Sequence[Detection], chosen: int) -> np.ndarray:
    """A copy of the picture with each person's box and number; the chosen one is orange."""
    drawn = image.copy()
    thickness = max(2, round(max(image.shape) / 400))
    for i, person in enumerate(people):
        left, top, right, bottom = person.box.round().astype(int).tolist()
        colour = LEFT if i == chosen else RIGHT
        cv2.rectangle(drawn, (left, top), (right, bottom), colour, thickness)
        scale = max(image.shape) / 800
        cv2.putText(drawn, str(i), (left, max(top - 4, 20)), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 2 * thickness)
    return drawn


def draw_sequence(paths: dict[int, Path], keypoints: Keypoints, folder: Path, count: int) -> None:
    """Draws the points over at most `count` evenly spaced pictures and writes them, named by frame.

    Args:
        paths: the pictures by frame.
        keypoints: of these pictures.
        folder: to write to.
        count: the largest number of pictures to draw.
    """
    rows = np.unique(np.linspace(0, len(keypoints.frames) - 1, count).round().astype(int))
    for row in rows:
        frame = int(keypoints.frames[row])
        image = read_rgb(paths[frame])
        if keypoints.detected[row]:
            image = draw_points(image, keypoints.image_points[row], keypoints.visibility[row])
        write_image(folder / f"{frame:06d}.jpg", image)
