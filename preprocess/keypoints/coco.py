"""Stage 2 with points in COCO's order (17, or COCO-WholeBody's 133), or Halpe's (26 or 136), from JSON.

RTMPose, ViTPose, AlphaPose, Pose2Sim and others write them. Halpe's begin with COCO's 17; head, neck and hip follow,
then big toes, small toes and heels, left before right; then, of 136, 68 of the face and 21 of each hand.

Sources: github.com/open-mmlab/mmpose (demo/topdown_demo_with_mmdet.py, mmpose/apis/inferencers, mmpose/structures/
utils.py, configs/_base_/datasets/coco_wholebody.py), COCO's results format, and AlphaPose's docs/output.md. A person is
{keypoints: K x 2, keypoint_scores: K}, or {keypoints: 3 K, or K x 3} with each confidence last. A file for a video is

    {instance_info: [{frame_id: from 1, instances: [person]}]}           MMPose's demo
    [{frame_id: from 0, instances: [person]}]                            MMPose's inferencer
    [[person, person], [], ...]                                          a list for each picture, as rtmlib's users do
    [{image_id: picture, category_id: 1, keypoints: 3 K, score}]         COCO's results; no entry for an empty picture

A folder holds a file for each picture: [person], {instance_info: [person]}, or OpenPose's {people: [...]} with points
in COCO's order (as Pose2Sim and Sports2D, which use rtmlib, write them).
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_json
from hashhuman.io.listing import listed
from preprocess.frames.video_index import VideoIndex
from preprocess.keypoints.people import PeopleKeypoints, match_pictures, numbered
from preprocess.skeleton import COCO_17, FACE_68, HAND_21, NAMES
from preprocess.validate import finite_array

# The index of each of our points in COCO's order. Our foot index is the big toe.
FEET = {
    "left_foot_index": 17,
    "left_heel": 19,
    "right_foot_index": 20,
    "right_heel": 22,
}
BODY = {name: i for i, name in enumerate(COCO_17)}
WHOLE_BODY = {
    **BODY,
    **FEET,
    **{name: 23 + i for name, i in FACE_68.items()},
    **{f"left_{name}": 91 + i for name, i in HAND_21.items()},
    **{f"right_{name}": 112 + i for name, i in HAND_21.items()},
}
HALPE_26 = {
    **BODY,
    "left_foot_index": 20,
    "right_foot_index": 21,
    "left_heel": 24,
    "right_heel": 25,
}
HALPE_136 = {
    **HALPE_26,
    **{name: 26 + i for name, i in FACE_68.items()},
    **{f"left_{name}": 94 + i for name, i in HAND_21.items()},
    **{f"right_{name}": 115 + i for name, i in HAND_21.items()},
}
INDICES = {17: BODY, 26: HALPE_26, 133: WHOLE_BODY, 136: HALPE_136}


class CocoKeypoints(PeopleKeypoints):
    """Reads a JSON file for the whole video, or a folder with a JSON file for each picture."""

    def people(self, index: VideoIndex) -> list[list[np.ndarray]]:
        if self.path.is_dir():
            files = listed(self.path, [".json"])
            if not files:
                raise UserError(f"{self.path} holds no JSON files: correct preprocess.keypoints.path.")
            people = {n: _people_in_picture(load_json(file), file) for n, file in numbered(files).items()}
            return match_pictures(people, index, self.path)
        content = load_json(self.path)
        first = None
        if isinstance(content, dict) and "instance_info" in content:
            content, first = content["instance_info"], 1
        if not isinstance(content, list) or not content:
            raise UserError(f"{self.path} is not a list of pictures with people in COCO's order of points.")
        if all(isinstance(entry, dict) and "image_id" in entry for entry in content):
            return self._coco_results(content, index)
        return match_pictures(_people_by_picture(content, self.path), index, self.path, first=first)

    def _coco_results(self, content: list[dict], index: VideoIndex) -> list[list[np.ndarray]]:
        """People from a list of COCO's results, whose image_id ends in the picture's number, from 0 or from 1."""
        people: dict[int, list[np.ndarray]] = {}
        for entry in content:
            number = re.search(r"(\d+)(\.\w+)?$", str(entry["image_id"]))
            if number is None:
                raise UserError(f"{self.path}: image_id {entry['image_id']!r} does not end in a picture's number.")
            people.setdefault(int(number[1]), []).append(_points(entry, self.path))
        return match_pictures(people, index, self.path, complete=False)


def _people_by_picture(content: list, path: Path) -> dict[int, list[np.ndarray]]:
    """People by the number of the picture: its frame_id, or its place in the list."""
    people = {}
    for i, entry in enumerate(content):
        number = i
        if isinstance(entry, dict) and "frame_id" in entry:
            if type(entry["frame_id"]) is not int:
                raise UserError(f"{path}: frame_id must be a whole number.")
            number = entry["frame_id"]
        people[number] = _people_in_picture(entry, path)
    return people


def _people_in_picture(content: Any, path: Path) -> list[np.ndarray]:
    """The people in one picture: a list, perhaps inside a mapping under one of the known keys."""
    for key in ("instances", "instance_info", "people"):
        if isinstance(content, dict) and key in content:
            content = content[key]
    if not isinstance(content, list) or not all(isinstance(person, dict) for person in content):
        raise UserError(f"{path} must hold a list of people for each picture.")
    return [_points(person, path) for person in content]


def _points(person: dict[str, Any], path: Path) -> np.ndarray:
    """A person's points as (33, 3): x, y, confidence."""
    key = "pose_keypoints_2d" if "pose_keypoints_2d" in person else "keypoints"
    given = finite_array(person.get(key), path, key, absent=True)
    if "keypoint_scores" in person:
        scores = finite_array(person["keypoint_scores"], path, "keypoint_scores", absent=True)
        if given.shape != (scores.size, 2):
            raise UserError(f"{path}: keypoints must hold x and y for each of the {scores.size} keypoint_scores.")
        given = np.column_stack([given, scores.ravel()])
    if given.size // 3 not in INDICES or given.size % 3:
        raise UserError(
            f"{path}: {key} needs x, y and confidence of 17, 26, 133 or 136 points, not {given.size} numbers."
        )
    indices = INDICES[given.size // 3]
    points = np.zeros((len(NAMES), 3))
    points[[NAMES.index(name) for name in indices]] = given.reshape(-1, 3)[list(indices.values())]
    return points
