"""Finds the people in a picture with MoveNet MultiPose: up to six, each with 17 points in COCO's order and a box."""

import dataclasses

import cv2
import numpy as np

from preprocess.assets import MOVENET_MULTIPOSE
from preprocess.keypoints.litert import Network, Networks
from preprocess.skeleton import COCO_17

LEFT_HIP, RIGHT_HIP = COCO_17.index("left_hip"), COCO_17.index("right_hip")


@dataclasses.dataclass(frozen=True)
class Detection:
    """One person in one picture; positions in pixels."""

    points: np.ndarray  # (N, 2); N is 17 from MoveNet, and may differ for other detectors
    point_scores: np.ndarray  # (N,)
    box: np.ndarray  # (4,) left, top, right, bottom
    score: float

    @property
    def center(self) -> np.ndarray:
        """The centre of the box (2,)."""
        return (self.box[:2] + self.box[2:]) / 2

    @property
    def size(self) -> float:
        """The diagonal of the box."""
        return float(np.linalg.norm(self.box[2:] - self.box[:2]))

    @property
    def hips(self) -> np.ndarray:
        """The midpoint of the hips (2,), for points in COCO's order."""
        return (self.points[LEFT_HIP] + self.points[RIGHT_HIP]) / 2


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """The area of the intersection of two boxes (left, top, right, bottom) over the area of the smaller one."""
    inner = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(inner / max(min((a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod()), 1e-9))


class MoveNet:
    """The detector, run at two scales, since it finds people best at a height of about 200 pixels.

    Args:
        threads: as for `Network`.
        score: the least score of a person.
        same: two boxes with more `overlap` are the same person.
    """

    LONG_SIDES = (256, 512)
    MULTIPLE = 32  # each side of the input must be a multiple of this

    def __init__(self, threads: int | None = None, score: float = 0.2, same: float = 0.7):
        self.score, self.same = score, same
        self._networks = [
            Network(MOVENET_MULTIPOSE, threads) for _ in self.LONG_SIDES
        ]  # one for each size, since resizing the input is slow

    def __call__(self, image: np.ndarray) -> list[Detection]:
        """The people in an 8-bit RGB picture (H, W, 3), by descending score."""
        candidates = [
            d for network, side in zip(self._networks, self.LONG_SIDES) for d in _detect(network, image, side)
        ]
        found: list[Detection] = []
        for candidate in sorted(candidates, key=lambda d: -d.score):
            if candidate.score >= self.score and all(overlap(candidate.box, d.box) < self.same for d in found):
                found.append(candidate)
        return found


class MoveNets:
    """`MoveNet` for several callers at once: each call uses a detector of its own on a share of the cores."""

    def __init__(self) -> None:
        self._detectors = Networks(MoveNet)

    def __call__(self, image: np.ndarray) -> list[Detection]:
        """As `MoveNet`; waits until a detector is idle."""
        with self._detectors.idle() as detector:
            return detector(image)


def _detect(network: Network, image: np.ndarray, long_side: int) -> list[Detection]:
    """All six detections of the network, whatever their scores, in pixels of the picture."""
    height, width = image.shape[:2]
    scale = long_side / max(height, width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    padded = np.zeros((*(-(-side // MoveNet.MULTIPLE) * MoveNet.MULTIPLE for side in inner), 3), np.uint8)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    padded[: inner[0], : inner[1]] = cv2.resize(image, inner[::-1], interpolation=interpolation)
    to_pixels = np.array([padded.shape[1] / inner[1] * width, padded.shape[0] / inner[0] * height])
    found = []
    for row in network(padded[None])[0][0]:
        points = row[:51].reshape(17, 3)
        box = row[51:55].reshape(2, 2)[:, ::-1] * to_pixels - 0.5  # relative (top, left), (bottom, right)
        found.append(Detection(points[:, 1::-1] * to_pixels - 0.5, points[:, 2], box.reshape(4), float(row[55])))
    return found
