"""Points as OpenPose writes them: a folder with a BODY_25 file for each picture.

Facts from OpenPose's doc/02_output.md: `NAME_000000000012_keypoints.json` holds {people: [{pose_keypoints_2d: 25 times
x, y, confidence, face_keypoints_2d: 70 times, hand_left_keypoints_2d, hand_right_keypoints_2d: 21 times}]}; face and
hands are empty unless they were asked for. A point that was not found is 0, 0, 0. Pixels are the input's, unless
--keypoint_scale says otherwise.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_json
from preprocess.frames.video_index import Origin
from preprocess.keypoints.people import PeopleKeypoints, in_order
from preprocess.keypoints.points import BODY_25, NAMES
from preprocess.validate import finite

BODY = {names[0]: i for i, names in enumerate(BODY_25) if len(names) == 1}
FACE = {
    "right_eye_outer": 36, "right_eye_inner": 39, "left_eye_inner": 42, "left_eye_outer": 45, "mouth_right": 48,
    "mouth_left": 54,
}  # fmt: skip
"""Of the 68 points of a face that OpenPose and COCO-WholeBody share."""
HAND = {"thumb": 2, "index": 5, "pinky": 17}
"""Knuckles, of the 21 points of a hand that both share."""


class OpenPoseKeypoints(PeopleKeypoints):
    """Reads the folder of `*_keypoints.json` that OpenPose's --write_json wrote."""

    def people(self, known: Origin) -> list[list[np.ndarray]]:
        files = sorted(self.path.glob("*_keypoints.json")) if self.path.is_dir() else []
        if not files:
            raise UserError(f"{self.path} is no folder with *_keypoints.json: preprocess.keypoints.path names one.")
        numbered = [re.search(r"(\d+)_keypoints$", file.stem) for file in files]
        named = dict(enumerate(files))
        if all(numbered) and len(files) != len(known.pictures):
            named = {int(number[1]): file for number, file in zip(numbered, files) if number}
        return in_order({number: read_people(file) for number, file in named.items()}, known, self.path)


def read_people(file: Path) -> list[np.ndarray]:
    """Everybody in a file, as (33, 3): x, y, confidence. Raises UserError if it is not OpenPose's."""
    content = load_json(file)
    people = content.get("people") if isinstance(content, dict) else None
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise UserError(f"{file} is not OpenPose's: it must hold a list of people.")
    return [_points(person, file) for person in people]


def _points(person: dict[str, Any], file: Path) -> np.ndarray:
    body = finite(person.get("pose_keypoints_2d"), file, "pose_keypoints_2d")
    if body.shape != (75,):
        raise UserError(f"{file} is not a BODY_25 file: each of its people needs 75 pose_keypoints_2d.")
    points = np.zeros((len(NAMES), 3))
    _take(points, body, BODY)
    parts = {"face_keypoints_2d": (FACE, 70)}
    for side in ("left", "right"):
        parts[f"hand_{side}_keypoints_2d"] = {f"{side}_{name}": i for name, i in HAND.items()}, 21
    for key, (places, count) in parts.items():
        given = finite(person.get(key) or [], file, key)
        if given.size == 3 * count:
            _take(points, given, places)
        elif given.size:
            raise UserError(f"{file}: {key} must hold {3 * count} numbers or none.")
    return points


def _take(points: np.ndarray, given: np.ndarray, places: dict[str, int]) -> None:
    points[[NAMES.index(name) for name in places]] = given.reshape(-1, 3)[list(places.values())]
