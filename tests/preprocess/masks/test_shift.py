"""Masks of other pictures are refused; right ones, rough ones, and those of somebody who stands still are not."""

from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
import pytest

from hashhuman.errors import UserError
from preprocess.keypoints.points import Keypoints
from preprocess.masks.shift import ShiftCheck
from preprocess.skeleton import NAMES

FRAMES, HEIGHT, WIDTH = 40, 240, 320
LIMBS = [
    ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), ("left_shoulder", "left_hip"),
    ("right_shoulder", "right_hip"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"), ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
]  # fmt: skip
MOVES = {"walks": (3.0, 0.5), "waves": (0.0, 0.5), "stands": (0.0, 0.0)}  # pixels a picture, radians of the limbs


def figure(time: float, kind: str) -> dict[str, np.ndarray]:
    """A stick figure of 160 pixels."""
    speed, swing = MOVES[kind]
    x, angle = 70 + speed * time, swing * np.sin(time / 3)

    def down(start: np.ndarray, length: float, turn: float) -> np.ndarray:
        return start + length * np.array([np.sin(turn), np.cos(turn)])

    points = {}
    for side, sign in (("left", 1), ("right", -1)):
        shoulder, hip = np.array([x + 18 * sign, 60.0]), np.array([x + 11 * sign, 120.0])
        elbow, knee = down(shoulder, 30, sign * (0.4 + angle)), down(hip, 42, sign * angle)
        points |= {f"{side}_shoulder": shoulder, f"{side}_hip": hip, f"{side}_elbow": elbow, f"{side}_knee": knee}
        points |= {
            f"{side}_wrist": down(elbow, 28, sign * (0.4 + 2 * angle)),
            f"{side}_ankle": down(knee, 42, sign * angle),
        }
    return points


def mask_of(time: float, kind: str, thick: int = 14) -> np.ndarray:
    mask, points = np.zeros((HEIGHT, WIDTH), np.float32), figure(time, kind)
    for a, b in LIMBS:
        start, end = (tuple(points[name].round().astype(int).tolist()) for name in (a, b))
        cv2.line(mask, start, end, 1.0, thick)
    return mask


def check(
    kind: str, late: float = 0, thick: int = 14, noise: float = 0, step: int = 1, absent: int = 0,
    bad: Collection[int] = (),
) -> None:  # fmt: skip
    """Raises UserError if masks that are so many pictures late are noticed."""
    keypoints, rng = Keypoints.empty(list(range(FRAMES))), np.random.default_rng(0)
    for row in range(FRAMES):
        for name, place in figure(row, kind).items():
            keypoints.image_points[row, NAMES.index(name)] = place + rng.normal(0, noise, 2)
            keypoints.visibility[row, NAMES.index(name)] = 1
    keypoints.detected[:] = np.arange(FRAMES) >= absent
    found = ShiftCheck(keypoints, step)
    for row in range(FRAMES):
        mask = mask_of(row - late, kind, thick)
        mask[120:] *= row not in bad  # these lack the legs
        found.add(row, mask)
    found.refuse(Path("masks"))


@pytest.mark.parametrize("kind", ["walks", "waves"])
@pytest.mark.parametrize("late", [2, -3, 6])
def test_masks_of_other_pictures(kind: str, late: int):
    direction = "late" if late > 0 else "early"
    with pytest.raises(UserError, match=f"The masks in masks appear to be {abs(late)} pictures {direction}"):
        check(kind, late)
    with pytest.raises(UserError, match=f"{abs(late)} pictures {direction}"):
        check(kind, late, noise=2, thick=18, absent=5)


def test_the_shift_is_counted_in_pictures_of_the_video():
    with pytest.raises(UserError, match="appear to be 15 pictures late"):
        check("walks", late=3, step=5)


@pytest.mark.parametrize("kind", MOVES)
@pytest.mark.parametrize("noise", [0, 3, 8])
@pytest.mark.parametrize("thick", [2, 8, 30])
def test_right_masks(kind: str, noise: float, thick: int):
    check(kind, noise=noise, thick=thick)


@pytest.mark.parametrize("kind", MOVES)
@pytest.mark.parametrize("bad", [range(3), range(10), range(37, 40), range(32, 40), range(15, 25)])
def test_bad_masks_at_an_end_are_no_shift(kind: str, bad: range):
    check(kind, noise=2, bad=bad)


def test_a_shift_is_found_beside_bad_masks():
    with pytest.raises(UserError, match="3 pictures late"):
        check("walks", late=3, noise=2, bad=range(36, 40))


def test_somebody_who_stands_still_tells_nothing():
    check("stands", late=4, noise=3)


def test_without_points_or_masks_nothing_is_known():
    for keypoints in (None, Keypoints.empty(list(range(FRAMES)))):
        found = ShiftCheck(keypoints, 1)
        found.add(0, np.zeros((HEIGHT, WIDTH)))
        found.refuse(Path("masks"))
