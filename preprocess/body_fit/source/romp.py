"""ROMP (Sun et al., ICCV 2021) as `simple_romp` writes it: `video_results.npz`.

Facts from github.com/Arthur151/ROMP (simple_romp/romp/main.py, post_parser.py, utils.py): an .npz with pickled
dictionaries. `results` is {picture's file: {smpl_thetas N x 72, smpl_betas N x 10, cam N x 3, cam_trans, joints
N x 71 x 3, pj2d_org N x 71 x 2, ...}} of the N people in each picture, in the video's order; `sequence_results` is
{track: {frame_id, and the same of that person}}, empty unless ROMP ran with -t. `cam` is a weak-perspective camera
(s, x, y) of the picture padded to a square: that spans [-1, 1], and a point is seen at s X + x, s Y + y. `joints` begin
with SMPL's 24, without translation; `pj2d_org` are the same points in pixels of the video. Such a camera has no focal
length, so the person is put at the distance that the subject's own camera asks for.
"""

from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_object_npz
from preprocess.body_fit.source.camera import centred
from preprocess.body_fit.source.checks import entry, pictures, smpl_pose
from preprocess.body_fit.source.motion import Motion, Source, ordered
from preprocess.keypoints.movenet import Detection
from preprocess.keypoints.tracks import Track, link
from preprocess.validate import numeric_array

FAR = 10.0  # focal length over the long side: so far away, the perspective is as weak as ROMP's


class Romp(Source):
    """Reads `video_results.npz`. Without ROMP's own tracks (-t), people are followed from picture to picture here."""

    def read(self, path: Path, width: int, height: int) -> list[Motion]:
        content = load_object_npz(path)
        sequences, results = content.get("sequence_results"), entry(content, "results", path)
        if not isinstance(results, dict):
            raise UserError(f"{path}: results must be a dictionary of pictures: it is not ROMP's video_results.npz.")
        tracks = list(sequences.values()) if isinstance(sequences, dict) and sequences else _follow(results, path)
        if not tracks:
            raise UserError(f"{path} holds nobody: ROMP found no person in the video.")
        return [_motion(track, path, width, height) for track in tracks]


def _follow(results: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """The pictures' people as ROMP's own tracks would have them: {frame_id, smpl_thetas, ...} of each."""
    tracks: list[Track] = []
    owners: dict[int, dict[str, Any]] = {}
    for index, picture in enumerate(results.values()):
        people = _people(picture, path)
        detections = [_detection(person, path) for person in people]
        owners |= {id(detection): person for detection, person in zip(detections, people)}
        link(tracks, index, detections)
    found = []
    for track in tracks:
        rows = [owners[id(detection)] for _, detection in sorted(track.detections.items())]
        found.append({"frame_id": sorted(track.detections), **{k: [row[k] for row in rows] for k in KEYS}})
    return found


KEYS = ("smpl_thetas", "smpl_betas", "cam", "joints", "pj2d_org")


def _people(picture: Any, path: Path) -> list[dict[str, Any]]:
    if picture is None:  # nobody
        return []
    columns = [np.asarray(entry(picture, key, path)) for key in KEYS]
    if not all(column.ndim and len(column) == len(columns[0]) for column in columns):
        raise UserError(f"{path}: {', '.join(KEYS)} must hold as many people as each other; make the file anew.")
    return [dict(zip(KEYS, values)) for values in zip(*columns)]


def _detection(person: dict[str, Any], path: Path) -> Detection:
    points = numeric_array(person["pj2d_org"], path, "pj2d_org", None, 2)
    if len(points) < 2 or not np.ptp(points, axis=0).all():
        raise UserError(f"{path}: pj2d_org must hold a person's points, and not all at one place; make the file anew.")
    return Detection(points, np.ones(len(points)), np.concatenate([points.min(0), points.max(0)]), 1.0)


def _motion(track: Any, path: Path, width: int, height: int) -> Motion:
    frames = entry(track, "frame_id", path)
    pose = smpl_pose(entry(track, "smpl_thetas", path), path, "smpl_thetas")
    count, side = len(pose), max(width, height)
    cam = numeric_array(entry(track, "cam", path), path, "cam", count, 3)
    joints = numeric_array(entry(track, "joints", path), path, "joints", count, None, 3)
    if (cam[:, 0] <= 0).any() or joints.shape[1] < 24:
        raise UserError(f"{path}: cam must hold a positive scale, and joints 24 points or more; make the file anew.")
    # f / Z (X + x / s) = side / 2 (s X + x)  where  Z = 2 f / (s side)
    transl = np.column_stack([cam[:, 1:] / cam[:, :1], 2 * FAR / cam[:, 0]])
    padding = np.array([width - side, height - side]) / 2
    motion = Motion(
        at=pictures(frames, path, "frame_id", count),
        rotations=pose,
        transl=transl,
        betas=numeric_array(entry(track, "smpl_betas", path), path, "smpl_betas", count, None).mean(0),
        K=centred(FAR * side, width, height),
        joints=joints[:, : pose.shape[1]] + transl[:, None],
        seen=(cam[:, 1:] + 1) * side / 2 + padding,
    )
    return ordered(motion, path)
