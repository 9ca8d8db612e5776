"""Finds both hands in a picture: crops from the body's points, refined once by the hand that is found there."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hashhuman.io import threads
from hashhuman.io.files import read_rgb
from preprocess.keypoints.crop import Crop
from preprocess.keypoints.hand_network import MIDDLE, POINTS, WRIST, Hand, HandNetwork
from preprocess.keypoints.litert import Networks
from preprocess.skeleton import HIPS, NAMES, SHOULDERS

SIDES = ("left", "right")
REACH = 1.3  # the crop's centre: so many times as far from the wrist as the knuckles
WIDE, LEAST = 3.2, 0.45  # the crop's side: times the palm's length, and at least this share of the trunk's height
PALM_OF_FOREARM = 0.35  # the palm's length over the forearm's
TIGHT = 2.0  # side of the second crop over the extent of the hand's points
WORTH_A_LOOK = 0.2  # presence below which there is no second look
FOUND = 0.7  # presence of a hand that counts


@dataclasses.dataclass(frozen=True)
class Hands:
    """Both hands in F pictures, left first; zeros where none was found."""

    image_points: Float[np.ndarray, "F 2 21 2"]
    """Pixels."""
    world_points: Float[np.ndarray, "F 2 21 3"]
    """Metres, in the axes of a camera that looks straight at the hand."""
    trust: Float[np.ndarray, "F 2"]
    """In [0, 1]: probability of a hand there, less where it seems to be the other hand."""


def find_hands(
    paths: Sequence[Path], points: Float[np.ndarray, "F 33 2"], visibility: Float[np.ndarray, "F 33"]
) -> Hands:
    """Looks for both hands in F pictures.

    Args:
        paths: the pictures.
        points: the body's points in them (pixels).
        visibility: of these points; a hand whose wrist has none is not looked for.
    """
    networks = Networks(HandNetwork)
    count = len(paths)
    found = Hands(np.zeros((count, 2, POINTS, 2)), np.zeros((count, 2, POINTS, 3)), np.zeros((count, 2)))

    def look(row: int) -> None:
        image = read_rgb(paths[row])
        with networks.idle() as network:
            for side, name in enumerate(SIDES):
                if visibility[row, NAMES.index(f"{name}_wrist")] <= 0:
                    continue
                hand = _look(network, image, crop_of_hand(points[row], name))
                found.image_points[row, side], found.world_points[row, side] = hand.image_points, hand.world_points
                found.trust[row, side] = trust_in(hand, name)

    for _ in threads.ordered(look, range(count)):
        pass
    return found


def trust_in(hand: Hand, side: str) -> float:
    """How far to believe that this is the person's hand of that side, in [0, 1]."""
    agreement = hand.right if side == "right" else 1 - hand.right
    return hand.presence * float(np.clip(2 * agreement - 1, 0, 1)) if hand.presence > FOUND else 0.0


def crop_of_hand(points: Float[np.ndarray, "33 2"], side: str) -> Crop:
    """The crop around a hand, from the body's points, with the fingers upwards."""
    wrist, index, pinky = (points[NAMES.index(f"{side}_{name}")] for name in ("wrist", "index", "pinky"))
    palm = (2 * index + pinky) / 3 - wrist
    if not palm.any():  # a tool without fingers: the wrist stands in for them
        palm = PALM_OF_FOREARM * (wrist - points[NAMES.index(f"{side}_elbow")])
    trunk = np.linalg.norm(points[SHOULDERS].mean(0) - points[HIPS].mean(0))
    extent = max(WIDE * float(np.linalg.norm(palm)), LEAST * float(trunk), 1.0)
    return Crop(wrist + REACH * palm, extent, float(np.arctan2(palm[0], -palm[1])))


def _look(network: HandNetwork, image: np.ndarray, crop: Crop) -> Hand:
    """The hand in a crop; where there may be one, as a second look finds it, at a crop around its points."""
    hand = network(image, crop)
    if hand.presence < WORTH_A_LOOK:
        return hand
    x, y = hand.image_points[MIDDLE] - hand.image_points[WRIST]
    low, high = hand.image_points.min(0), hand.image_points.max(0)
    side = max(TIGHT * float((high - low).max()), 1.0)
    return network(image, Crop((low + high) / 2, side, float(np.arctan2(x, -y))))
