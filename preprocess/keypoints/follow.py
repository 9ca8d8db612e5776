"""Follows one person through a sequence: the pose in one picture predicts the crop for the next."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from hashhuman.io import threads
from hashhuman.io.files import read_rgb
from hashhuman.io.journal import Journal
from preprocess.keypoints.crop import Crop
from preprocess.keypoints.movenet import Detection, MoveNet, MoveNets
from preprocess.keypoints.pose_network import Pose, PoseNetwork
from preprocess.keypoints.tracks import Track

LOST = 0.35  # of the detection's diagonal: a crop farther than this from the detection has lost the person
REDETECTED = 0.5  # of the detection's diagonal: farther than this from the person's last position, it is another person
REACH = 4  # standard deviations: the Gaussian mean ignores crops farther away in time
JUMP = 0.2  # of the crop's side: the farthest that a person can move from one picture to the next


class Follower:
    """Estimates the pose of the tracked person in one picture after another; must be called in order.

    The previous pose predicts the crop. The crop comes from the detector instead if the detector saw the person
    elsewhere, the pose jumps, or the network does not find a person in the crop.

    Args:
        network: estimates the pose in a crop.
        detector: finds people in a picture.
        track: the person's detections.
        every: the detections of `track` are this many pictures apart.
        score: the least probability of a person in the crop.
    """

    def __init__(self, network: PoseNetwork, detector: MoveNet | MoveNets, track: Track, every: int, score: float):
        self.network, self.detector, self.track = network, detector, track
        self.every, self.score = every, score
        self.crop: Crop | None = None

    def __call__(self, index: int, image: np.ndarray) -> Pose | None:
        """The pose in an 8-bit RGB picture (H, W, 3) of that index, or None if the person is not in it."""
        expected = self.track.near(index, self.every)
        if self.crop is not None and (expected is None or not _is_lost(self.crop, expected)):
            pose = self.network(image, self.crop)
            if pose.score >= self.score and not _has_jumped(self.crop, pose.next_crop):
                self.crop = pose.next_crop
                return pose
        pose = self._redetect(index, image)
        self.crop = pose.next_crop if pose else None
        return pose

    def _redetect(self, index: int, image: np.ndarray) -> Pose | None:
        """The pose from the detector's crop of the person, or None if the detector does not find the person."""
        last = self.track.nearest(index)
        people = [d for d in self.detector(image) if np.linalg.norm(d.center - last.center) < REDETECTED * last.size]
        if not people:
            return None
        person = min(people, key=lambda d: float(np.linalg.norm(d.center - last.center)))
        first = self.network(image, Crop.of_detection(person))  # only gives a better crop than the rough box
        pose = self.network(image, first.next_crop) if first.score >= self.score else first
        return pose if pose.score >= self.score and not _is_lost(pose.next_crop, person) else None


def follow(follower: Follower, files: Sequence[Path], journal: Journal) -> Iterator[Crop | None]:
    """The crop of the person in each picture; None where the person is not in it.

    Args:
        follower: before its first picture.
        files: the pictures, in order.
        journal: has the pictures that were followed before an interruption.
    """
    done = 0
    while (record := journal.get(f"follow/{done}")) is not None:
        follower.crop = Crop.from_array(record["next"]) if "next" in record else None
        yield Crop.from_array(record["crop"]) if "crop" in record else None
        done += 1
    for index, image in enumerate(threads.ordered(read_rgb, files[done:]), start=done):
        pose = follower(index, image)
        crops = {"crop": pose and pose.crop, "next": follower.crop}
        journal.add(f"follow/{index}", {name: crop.to_array() for name, crop in crops.items() if crop is not None})
        yield crops["crop"]


def _is_lost(crop: Crop, person: Detection) -> bool:
    return float(np.linalg.norm(crop.center - person.center)) > LOST * person.size


def _has_jumped(crop: Crop, after: Crop) -> bool:
    return float(np.linalg.norm(after.center - crop.center)) > JUMP * crop.side


def smooth_crops(crops: Iterable[Crop | None], sigma: float) -> Iterator[Crop | None]:
    """Smooths crops over time with a Gaussian, so that their jitter does not reach the points.

    A crop is yielded as soon as the crops within `REACH` standard deviations after it are known. None, a picture
    without the person, stays None.

    Args:
        crops: one for each picture.
        sigma: standard deviation in pictures.
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
    """A crop as numbers that can be averaged."""
    return (*crop.center, np.log(crop.side), np.cos(crop.angle), np.sin(crop.angle))
