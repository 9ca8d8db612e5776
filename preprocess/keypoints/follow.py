"""One person through a whole sequence: a crop for every picture, from the person's pose in the one before."""

import math
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from preprocess.keypoints.movenet import Detection, MoveNet
from preprocess.keypoints.pose_network import Crop, Pose, PoseNetwork
from preprocess.keypoints.tracks import Track

ASTRAY = 0.35  # of the detection's diagonal: a crop farther from the person than this follows somebody else
REDETECTED = 0.5  # of the same: somebody farther from where the person was last seen is somebody else
REACH = 4  # sigmas: farther neighbours do not count in a Gaussian mean
JUMP = 0.2  # of the crop's side: nobody moves farther from one picture to the next


class Follower:
    """Gives the pose of the tracked person in each picture, asked for in order.

    A pose is taken from the crop that the last one predicts. Where the detector saw the person somewhere else, the pose
    jumps, or the network is not sure of a person, the crop starts afresh from the detector.
    """

    def __init__(self, network: PoseNetwork, detector: MoveNet, track: Track, every: int, score: float):
        self.network, self.detector, self.track = network, detector, track
        self.every, self.score = every, score
        self.crop: Crop | None = None

    def __call__(self, index: int, image: np.ndarray) -> Pose | None:
        """The pose in the picture of that index, or None if the person is not seen there."""
        expected = self.track.near(index, self.every)
        if self.crop is not None and (expected is None or not _astray(self.crop, expected)):
            pose = self.network(image, self.crop)
            if pose.score >= self.score and not _jumped(self.crop, pose.next_crop):
                self.crop = pose.next_crop
                return pose
        pose = self._afresh(index, image)
        self.crop = pose.next_crop if pose else None
        return pose

    def _afresh(self, index: int, image: np.ndarray) -> Pose | None:
        last = self.track.nearest(index)
        people = [d for d in self.detector(image) if np.linalg.norm(d.center - last.center) < REDETECTED * last.size]
        if not people:
            return None
        person = min(people, key=lambda d: float(np.linalg.norm(d.center - last.center)))
        first = self.network(image, Crop.of_detection(person))  # the box is rough: the second look is the pose
        pose = self.network(image, first.next_crop) if first.score >= self.score else first
        return pose if pose.score >= self.score and not _astray(pose.next_crop, person) else None


def _astray(crop: Crop, person: Detection) -> bool:
    return float(np.linalg.norm(crop.center - person.center)) > ASTRAY * person.size


def _jumped(crop: Crop, after: Crop) -> bool:
    return float(np.linalg.norm(after.center - crop.center)) > JUMP * crop.side


def smooth_crops(crops: Iterable[Crop | None], sigma: float) -> Iterator[Crop | None]:
    """Crops averaged over time with a Gaussian (sigma in pictures), so that their jitter does not reach the points.

    Each is yielded once the `REACH` sigmas after it have been seen, farther than which none counts.
    """
    reach = math.ceil(REACH * sigma)
    around: deque[tuple[int, Crop | None]] = deque(maxlen=2 * reach + 1)
    waiting: deque[int] = deque()
    for index, crop in enumerate(crops):
        around.append((index, crop))
        waiting.append(index)
        if waiting[0] + reach == index:
            yield _smoothed(around, waiting.popleft(), sigma)
    while waiting:
        yield _smoothed([(i, crop) for i, crop in around if i >= waiting[0] - reach], waiting.popleft(), sigma)


def _smoothed(around: Iterable[tuple[int, Crop | None]], index: int, sigma: float) -> Crop | None:
    known = {i: _parameters(crop) for i, crop in around if crop is not None}
    if index not in known:
        return None
    weights = np.exp(-0.5 * ((np.array(list(known)) - index) / max(sigma, 1e-6)) ** 2)
    x, y, log_side, cos, sin = (weights[:, None] * np.array(list(known.values()))).sum(0) / weights.sum()
    return Crop(np.array([x, y]), float(np.exp(log_side)), float(np.arctan2(sin, cos)))


def _parameters(crop: Crop) -> tuple[float, ...]:
    return (*crop.center, np.log(crop.side), np.cos(crop.angle), np.sin(crop.angle))
