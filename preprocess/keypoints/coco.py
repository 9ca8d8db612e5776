"""Points in COCO's orders, 17 of a body or 133 of a whole one, as RTMPose, ViTPose and their like write them as JSON.

Facts from github.com/open-mmlab/mmpose (demo/topdown_demo_with_mmdet.py, mmpose/apis/inferencers, mmpose/structures/
utils.py, configs/_base_/datasets/coco_wholebody.py), COCO's format of results, and AlphaPose's docs/output.md. A person
is {keypoints: K x 2, keypoint_scores: K} or {keypoints: 3 K, or K x 3}, with confidences last. A file of a video is

    {instance_info: [{frame_id: from 1, instances: [person]}]}           MMPose's demo
    [{frame_id: from 0, instances: [person]}]                            MMPose's inferencer
    [[person, person], [], ...]                                          a list for each picture, as rtmlib's callers do
    [{image_id: picture, category_id: 1, keypoints: 3 K, score}]         COCO's results; nobody: no entry

and a folder has a file for each picture: [person], {instance_info: [person]} or OpenPose's {people: [...]} with such
points (as rtmlib's callers Pose2Sim and Sports2D write them).
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_json
from preprocess.frames.video_index import Origin
from preprocess.keypoints.openpose import FACE, HAND
from preprocess.keypoints.people import PeopleKeypoints, in_order
from preprocess.keypoints.points import NAMES
from preprocess.validate import finite

COCO_17 = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
FEET = {"left_foot_index": 17, "left_heel": 19, "right_foot_index": 20, "right_heel": 22}  # big toes
BODY = {name: i for i, name in enumerate(COCO_17)}
WHOLE_BODY = {
    **BODY,
    **FEET,
    **{name: 23 + i for name, i in FACE.items()},
    **{f"left_{name}": 91 + i for name, i in HAND.items()},
    **{f"right_{name}": 112 + i for name, i in HAND.items()},
}
PLACES = {17: BODY, 133: WHOLE_BODY}


class CocoKeypoints(PeopleKeypoints):
    """Reads a JSON file of the whole video, or a folder with one for each picture."""

    def people(self, known: Origin) -> list[list[np.ndarray]]:
        if self.path.is_dir():
            files = sorted(self.path.glob("*.json"))
            if not files:
                raise UserError(f"{self.path} holds no JSON files: preprocess.keypoints.path names a folder or a file.")
            return in_order({i: _of_picture(load_json(file), file) for i, file in enumerate(files)}, known, self.path)
        content = load_json(self.path)
        first = 0
        if isinstance(content, dict) and "instance_info" in content:
            content, first = content["instance_info"], 1
        if not isinstance(content, list) or not content:
            raise UserError(f"{self.path} is not a list of pictures with people in COCO's order of points.")
        if all(isinstance(entry, dict) and "image_id" in entry for entry in content):
            return self._results(content, known)
        return in_order(_by_picture(content, first, self.path), known, self.path)

    def _results(self, content: list[dict], known: Origin) -> list[list[np.ndarray]]:
        people: dict[int, list[np.ndarray]] = {}
        for entry in content:
            number = re.search(r"(\d+)(\.\w+)?$", str(entry["image_id"]))
            if number is None:
                raise UserError(f"{self.path}: image_id {entry['image_id']!r} has no number of a picture.")
            people.setdefault(int(number[1]), []).append(_points(entry, self.path))
        if not people.keys() & set(known.pictures.tolist()):
            raise UserError(f"{self.path} names none of the subject's pictures by image_id: it is of another video.")
        return [people.get(number, []) for number in known.pictures.tolist()]


def _by_picture(content: list, first: int, path: Path) -> dict[int, list[np.ndarray]]:
    people = {}
    for i, entry in enumerate(content):
        number = i
        if isinstance(entry, dict) and "frame_id" in entry:
            if type(entry["frame_id"]) is not int:
                raise UserError(f"{path}: frame_id must be a whole number.")
            number = entry["frame_id"] - first
        people[number] = _of_picture(entry, path)
    return people


def _of_picture(content: Any, path: Path) -> list[np.ndarray]:
    """Everybody in one picture, however its people are wrapped."""
    for key in ("instances", "instance_info", "people"):
        if isinstance(content, dict) and key in content:
            content = content[key]
    if not isinstance(content, list) or not all(isinstance(person, dict) for person in content):
        raise UserError(f"{path} must hold a list of people for each picture.")
    return [_points(person, path) for person in content]


def _points(person: dict[str, Any], path: Path) -> np.ndarray:
    """A person's points as (33, 3): x, y, confidence."""
    key = "pose_keypoints_2d" if "pose_keypoints_2d" in person else "keypoints"
    given = finite(person.get(key), path, key)
    if "keypoint_scores" in person:
        scores = finite(person["keypoint_scores"], path, "keypoint_scores")
        if given.shape != (scores.size, 2):
            raise UserError(f"{path}: keypoints must hold x and y of each of the {scores.size} keypoint_scores.")
        given = np.column_stack([given, scores.ravel()])
    if given.size // 3 not in PLACES or given.size % 3:
        raise UserError(f"{path}: a person needs 17 or 133 points with a confidence each, not {given.size} numbers.")
    places = PLACES[given.size // 3]
    points = np.zeros((len(NAMES), 3))
    points[[NAMES.index(name) for name in places]] = given.reshape(-1, 3)[list(places.values())]
    return points
