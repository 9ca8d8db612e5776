"""Pictures of a clip, and the people found in them: what the checks of a clip judge."""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from hashhuman.io.files import read_rgb
from preprocess.frames.images import image_paths
from preprocess.keypoints.points import Keypoints, points_path


@dataclasses.dataclass(frozen=True)
class Person:
    """The L points (`skeleton.NAMES`) of one person in one picture."""

    image_points: Float[np.ndarray, "L 2"]
    """Pixels."""
    presence: Float[np.ndarray, "L"]
    """Probability that the point lies in the picture, even if it is hidden."""
    world_points: Float[np.ndarray, "L 3"]
    """Metres from the midpoint of the hips: x right, y down, z away from the camera."""

    def box(self) -> Float[np.ndarray, "2 2"]:
        """Lowest and highest x, y of the points (pixels)."""
        return np.stack([self.image_points.min(0), self.image_points.max(0)])


@dataclasses.dataclass(frozen=True)
class Inspection:
    """One picture, and who is in it."""

    image: UInt8[np.ndarray, "H W 3"]
    """RGB."""
    person: Person | None
    """The person whom the avatar is of; None if they were not found."""
    people: int | None
    """How many people there are in the picture; None if that is unknown."""
    overlapped: bool = False
    """Whether somebody else is where the person is: before or behind them."""


def inspect_subject(subject: Path, count: int) -> list[Inspection]:
    """Takes about `count` evenly spaced pictures of a subject, and the person from its keypoints."""
    keypoints, paths = Keypoints.load(points_path(subject)), image_paths(subject)
    inspections = []
    for row in np.unique(np.linspace(0, len(keypoints.frames) - 1, count).round().astype(int)):
        person = None
        if keypoints.detected[row]:
            person = Person(keypoints.image_points[row], keypoints.presence[row], keypoints.world_points[row])
        inspections.append(Inspection(read_rgb(paths[int(keypoints.frames[row])]), person, None))
    return inspections
