"""Looks at pictures with the networks that the keypoints stage has."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from preprocess.doctor.clip import Look, Person
from preprocess.keypoints.crop import Crop
from preprocess.keypoints.movenet import Detection, MoveNet
from preprocess.keypoints.pose_network import Pose, PoseNetwork
from preprocess.keypoints.tracks import Track, choose

_SURE = 0.5  # least probability of a person


def look(images: Sequence[UInt8[np.ndarray, "H W 3"]], person: int | Sequence[float] | None) -> list[Look]:
    """Finds the person, and everybody, in each picture by itself.

    Args:
        person: which one, as the keypoints stage takes it.

    Raises UserError if the networks cannot be had, or `person` is neither of these.
    """
    detector, network = MoveNet(), PoseNetwork()
    looks = []
    for image in images:
        people = detector(image)
        pose = _pose(network, image, _chosen(people, person, image))
        seen = Person(pose.image_points, pose.presence, pose.world_points) if pose else None
        looks.append(Look(image, seen, sum(detection.score >= _SURE for detection in people)))
    return looks


def _chosen(people: Sequence[Detection], person: int | Sequence[float] | None, image: np.ndarray) -> Detection | None:
    """The one who is meant, or None where there are not that many people."""
    if not people or (isinstance(person, int) and person >= len(people)):
        return None
    return choose([Track(0, detection) for detection in people], person, image.shape[1], image.shape[0]).detections[0]


def _pose(network: PoseNetwork, image: np.ndarray, detection: Detection | None) -> Pose | None:
    if detection is None:
        return None
    first = network(image, Crop.of_detection(detection))  # the box is rough: the second look is the pose
    pose = network(image, first.next_crop)
    return pose if pose.score >= _SURE else None
