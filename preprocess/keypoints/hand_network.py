"""MediaPipe's hand network on one crop: 21 points of a hand, in the picture and in metres.

Zhang et al., "MediaPipe Hands: On-device Real-time Hand Tracking", 2020.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float

from preprocess.assets import HAND_LANDMARKS
from preprocess.keypoints.crop import Crop
from preprocess.keypoints.litert import Network

INPUT = 224  # pixels: the side of the network's square input
POINTS = 21
WRIST, MIDDLE = 0, 9  # the wrist, and the knuckle of the middle finger


@dataclasses.dataclass(frozen=True)
class Hand:
    """The network's estimate from one crop."""

    image_points: Float[np.ndarray, "21 2"]
    """Pixels of the picture."""
    world_points: Float[np.ndarray, "21 3"]
    """Metres, in the axes of a camera that looks straight at the hand: x right, y down in the picture, z away."""
    presence: float
    """Probability that the crop shows a hand."""
    right: float
    """Probability that it is a right hand."""


class HandNetwork:
    """The network, for one caller at a time. `threads` as for `Network`."""

    def __init__(self, threads: int | None = None) -> None:
        self._network = Network(HAND_LANDMARKS, threads)

    def __call__(self, image: np.ndarray, crop: Crop) -> Hand:
        """The hand in a crop of an 8-bit RGB picture (H, W, 3); the crop's upward direction is that of the fingers."""
        matrix = crop.image_from(INPUT)[:2]
        pixels = cv2.warpAffine(image, matrix, (INPUT, INPUT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        points, presence, right, world = self._network(pixels[None].astype(np.float32) / 255)
        in_image = points.reshape(POINTS, 3)[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        metres = world.reshape(POINTS, 3).astype(float)
        metres[:, :2] = metres[:, :2] @ crop.rotation.T
        return Hand(in_image, metres, float(presence.item()), float(right.item()))
