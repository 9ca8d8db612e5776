"""ROMP (Sun et al., ICCV 2021): `video_results.npz`, written by `simple_romp`.

Facts from github.com/Arthur151/ROMP (simple_romp/romp/main.py, post_parser.py, utils.py): an .npz with pickled
dictionaries. `results` is {picture's file: {smpl_thetas N x 72, smpl_betas N x 10, cam N x 3, cam_trans, joints N x 71
x 3, pj2d_org N x 71 x 2, ...}} of the N people in each picture, named by its number; `sequence_results` is {track:
{frame_id, and the same entries of that person}}, empty unless ROMP ran with -t. `cam` is a weak-perspective camera (s,
x, y) of the picture padded to a square that spans [-1, 1]: it sees a point at s X + x, s Y + y. `joints` begin with
SMPL's 24, without translation; `pj2d_org` are the same points in pixels of the video. A weak-perspective camera has no
focal length, so the distance of the person follows from the subject's own camera.
"""

from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_object_npz
from preprocess.body_fit.source.camera import centred
from preprocess.body_fit.source.checks import entry, picture_numbers, smpl_pose
from preprocess.body_fit.source.follow import detection_of, follow, picture_numbers_of
from preprocess.body_fit.source.motion import Motion, Source, ordered
from preprocess.keypoints.movenet import Detection
from preprocess.validate import numeric_array

FAR = 10.0  # focal length over the long side: from so far away, the perspective is as weak as ROMP's


class Romp(Source):
    """Reads `video_results.npz`. Without ROMP's own tracks (-t), people are followed from picture to picture here."""

    def read(self, path: Path, width: int, height: int) -> list[Motion]:
        content = load_object_npz(path)
        sequences, results = content.get("sequence_results"), entry(content, "results", path)
        if not isinstance(results, dict):
            raise UserError(f"{path}: results must be a dictionary of pictures: it is not ROMP's video_results.npz.")
        followed = isinstance(sequences, dict) and sequences
        tracks = sequences if followed else dict(enumerate(_follow(results, path)))
        if not tracks:
            raise UserError(f"{path} holds no people: ROMP found no person in the video.")
        return [_motion(str(name), track, path, width, height) for name, track in tracks.items()]


def _follow(results: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """Follows people from picture to picture; returns tracks in ROMP's own form: {frame_id, smpl_thetas, ...}."""
    if not results:
        return []
    numbers = picture_numbers_of([Path(str(name)).stem for name in results], path)
    pictures = zip(numbers, (_people(picture, path) for picture in results.values()))
    return [
        {"frame_id": numbers, **{key: [row[key] for row in rows] for key in KEYS}}
        for numbers, rows in follow(pictures, lambda person: _detection(person, path))
    ]


KEYS = ("smpl_thetas", "smpl_betas", "cam", "joints", "pj2d_org")


def _people(picture: Any, path: Path) -> list[dict[str, Any]]:
    """The entries of everybody in a picture."""
    if picture is None:  # nobody
        return []
    columns = [np.asarray(entry(picture, key, path)) for key in KEYS]
    if not all(column.ndim and len(column) == len(columns[0]) for column in columns):
        raise UserError(f"{path}: {', '.join(KEYS)} must hold the same number of people: create the file again.")
    return [dict(zip(KEYS, values)) for values in zip(*columns)]


def _detection(person: dict[str, Any], path: Path) -> Detection:
    return detection_of(numeric_array(person["pj2d_org"], path, "pj2d_org", None, 2), path, "pj2d_org")


def _motion(name: str, track: Any, path: Path, width: int, height: int) -> Motion:
    frames = entry(track, "frame_id", path)
    pose = smpl_pose(entry(track, "smpl_thetas", path), path, "smpl_thetas")
    count, side = len(pose), max(width, height)
    cam = numeric_array(entry(track, "cam", path), path, "cam", count, 3)
    joints = numeric_array(entry(track, "joints", path), path, "joints", count, None, 3)
    if (cam[:, 0] <= 0).any() or joints.shape[1] < 24:
        raise UserError(f"{path}: cam must hold positive scales, and joints 24 points or more: create the file again.")
    # f / Z (X + x / s) = side / 2 (s X + x)  where  Z = 2 f / (s side)
    transl = np.column_stack([cam[:, 1:] / cam[:, :1], 2 * FAR / cam[:, 0]])
    padding = np.array([width - side, height - side]) / 2
    motion = Motion(
        at=picture_numbers(frames, path, "frame_id", count),
        rotations=pose,
        transl=transl,
        betas=numeric_array(entry(track, "smpl_betas", path), path, "smpl_betas", count, None).mean(0),
        K=centred(FAR * side, width, height),
        joints=joints[:, : pose.shape[1]] + transl[:, None],
        seen=(cam[:, 1:] + 1) * side / 2 + padding,
        track=name,
    )
    return ordered(motion, path)
