"""Stage 2 with OpenPose's points: a folder with a BODY_25 file for each picture.

Source: OpenPose's doc/02_output.md. `NAME_000000000012_keypoints.json` holds {people: [{pose_keypoints_2d: x, y and
confidence of 25 points, face_keypoints_2d: of 70, hand_left_keypoints_2d and hand_right_keypoints_2d: of 21}]}. Face
and hands are empty unless OpenPose was asked for them. A point that was not found is 0, 0, 0. Pixels are those of the
input, unless --keypoint_scale says otherwise.
"""

from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_json
from hashhuman.io.listing import listed
from preprocess.frames.video_index import VideoIndex
from preprocess.keypoints.people import PeopleKeypoints, match_pictures, numbered
from preprocess.skeleton import BODY_25, FACE_68, HAND_21, NAMES
from preprocess.validate import finite_array

BODY = {names[0]: i for i, names in enumerate(BODY_25) if len(names) == 1}
"""Indices of our points in BODY_25."""


class OpenPoseKeypoints(PeopleKeypoints):
    """Reads the folder of `*_keypoints.json` that OpenPose has written with --write_json."""

    def people(self, index: VideoIndex) -> list[list[np.ndarray]]:
        files = [file for file in listed(self.path, [".json"]) if file.stem.endswith("_keypoints")]
        if not files:
            raise UserError(f"{self.path} is not a folder with *_keypoints.json: correct preprocess.keypoints.path.")
        return match_pictures({n: read_people(file) for n, file in numbered(files).items()}, index, self.path)


def read_people(file: Path) -> list[np.ndarray]:
    """The people in a file, each (33, 3): x and y in pixels, confidence. Raises UserError if it is not OpenPose's."""
    content = load_json(file)
    people = content.get("people") if isinstance(content, dict) else None
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise UserError(f"{file} is not a file of OpenPose: it must hold a list of people.")
    return [_points(person, file) for person in people]


def _points(person: dict[str, Any], file: Path) -> np.ndarray:
    """A person's points (33, 3): x, y, confidence; zeros for points that the file lacks."""
    body = finite_array(person.get("pose_keypoints_2d"), file, "pose_keypoints_2d", absent=True)
    if body.shape != (75,):
        raise UserError(f"{file} is not a BODY_25 file: each of its people needs 75 pose_keypoints_2d.")
    points = np.zeros((len(NAMES), 3))
    _copy(points, body, BODY)
    parts = {"face_keypoints_2d": (FACE_68, 70)}
    for side in ("left", "right"):
        parts[f"hand_{side}_keypoints_2d"] = {f"{side}_{name}": i for name, i in HAND_21.items()}, 21
    for key, (indices, count) in parts.items():
        given = finite_array(person.get(key) or [], file, key)
        if given.size == 3 * count:
            _copy(points, given, indices)
        elif given.size:
            raise UserError(f"{file}: {key} must hold {3 * count} numbers or none.")
    return points


def _copy(points: np.ndarray, given: np.ndarray, indices: dict[str, int]) -> None:
    """Copies the named points from a tool's order into ours."""
    points[[NAMES.index(name) for name in indices]] = given.reshape(-1, 3)[list(indices.values())]
