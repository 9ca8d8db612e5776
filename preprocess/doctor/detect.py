"""Finds the people in pictures that no stage has processed yet, with the networks of the keypoints stage."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from preprocess.doctor.inspection import Inspection, Person
from preprocess.keypoints.crop import Crop
from preprocess.keypoints.movenet import Detection, MoveNet, overlap
from preprocess.keypoints.pose_network import Pose, PoseNetwork
from preprocess.keypoints.tracks import Track, choose

_SURE = 0.5  # least probability of a person
_MEET = 0.1  # of the smaller box: with more in common, one person may hide the other


def inspect_pictures(
    images: Sequence[UInt8[np.ndarray, "H W 3"]], person: int | Sequence[float] | None
) -> list[Inspection]:
    """Finds the person, and counts everybody, in each picture by itself.

    Args:
        images: RGB.
        person: which one, as in the keypoints stage: None takes the most prominent, a number counts from the left, a
            point [x, y] takes the nearest (pixels).

    Raises UserError if the networks are not available, or `person` is none of these.
    """
    detector, network = MoveNet(), PoseNetwork()
    inspections = []
    for image in images:
        people = detector(image)
        chosen = _chosen(people, person, image)
        pose = _pose(network, image, chosen)
        found = Person(pose.image_points, pose.presence, pose.world_points) if pose else None
        sure = [detection for detection in people if detection.score >= _SURE]
        met = chosen is not None and any(overlap(chosen.box, d.box) > _MEET for d in sure if d is not chosen)
        inspections.append(Inspection(image, found, len(sure), met))
    return inspections


def _chosen(people: Sequence[Detection], person: int | Sequence[float] | None, image: np.ndarray) -> Detection | None:
    """The detection of the person that is meant; None if there are too few people."""
    if not people or (isinstance(person, int) and person >= len(people)):
        return None
    return choose([Track(0, detection) for detection in people], person, image.shape[1], image.shape[0]).detections[0]


def _pose(network: PoseNetwork, image: np.ndarray, detection: Detection | None) -> Pose | None:
    """The pose of a detected person; None if the network does not see one."""
    if detection is None:
        return None
    first = network(image, Crop.of_detection(detection))  # the detector's box is rough, so the pose gives a better crop
    pose = network(image, first.next_crop)
    return pose if pose.score >= _SURE else None
