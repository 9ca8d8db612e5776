"""4D-Humans (Goel et al., ICCV 2023), tracked by PHALP (Rajasegaran et al., CVPR 2022): `results/demo_NAME.pkl`.

Facts from github.com/brjathu/PHALP (phalp/trackers/PHALP.py, phalp/models/hmar/hmar.py, phalp/utils/smpl_utils.py,
phalp/configs/base.py): a joblib pickle of {picture's path: {time, tid, tracked_time, bbox, size, smpl, camera,
3d_joints, ...}}, with lists of one entry per track. `smpl` is {global_orient 1 x 3 x 3, body_pose 23 x 3 x 3, betas
10}, `camera` is SMPL's translation, `bbox` is left, top, width, height and `size` height, width in pixels of the video,
`3d_joints` are 45 points without the translation, the first 25 in OpenPose's order. `tracked_time` counts the pictures
since the person was last seen, so entries other than 0 are guesses. The camera sees the picture padded to a square and
shrunk to 256 pixels, with a focal length of 5000 of those: 5000 / 256 of the video's long side.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from preprocess.body_fit.source.camera import centred
from preprocess.body_fit.source.checks import entry, matrices, picture_numbers
from preprocess.body_fit.source.joblib_file import load_joblib
from preprocess.body_fit.source.motion import Motion, Source, ordered
from preprocess.validate import numeric_array

FOCAL = 5000 / 256  # of the long side of the picture
JOINTS_OF_BODY_25 = {0: 8, 1: 12, 2: 9, 4: 13, 5: 10, 7: 14, 8: 11, 12: 1, 16: 5, 17: 2, 18: 6, 19: 3, 20: 7, 21: 4}
"""{SMPL's joint: OpenPose's point}, for the points that PHALP copies from SMPL's joints."""


class Hmr2(Source):
    """Reads the .pkl of 4D-Humans' track.py."""

    def read(self, path: Path, width: int, height: int) -> list[Motion]:
        content = load_joblib(path)
        if not isinstance(content, dict) or not content:
            raise UserError(f"{path} holds no pictures: it is not the .pkl of 4D-Humans' track.py.")
        rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for picture in content.values():
            for tid, row in _people(picture, path):
                rows[tid].append(row)
        if not rows:
            raise UserError(f"{path} holds no people: 4D-Humans found no person in the video.")
        K = centred(FOCAL * max(width, height), width, height)
        return [_motion(str(tid), track, path, K, width) for tid, track in rows.items()]


def _people(picture: Any, path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Track number and entries of everybody who is seen in a picture."""
    names = ("tid", "tracked_time", "smpl", "camera", "bbox", "size", "3d_joints")
    columns = [entry(picture, name, path) for name in names]
    time = entry(picture, "time", path)
    if not all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        raise UserError(
            f"{path}: {', '.join(names)} must be lists of one length for each picture: create the file again."
        )
    people = [dict(zip(names, values), time=time) for values in zip(*columns)]
    seen = [p for p in people if numeric_array(p["tracked_time"], path, "tracked_time") == 0]
    return [(int(numeric_array(p["tid"], path, "tid")), p) for p in seen]


def _motion(name: str, rows: list[dict[str, Any]], path: Path, K: np.ndarray, width: int) -> Motion:
    def column(name: str, *shape: int) -> np.ndarray:
        return np.stack([numeric_array(row[name], path, name, *shape) for row in rows])

    def rotations(name: str, count: int) -> np.ndarray:
        return np.stack([matrices(entry(row["smpl"], name, path), path, name, count) for row in rows])

    transl, size, box = column("camera", 3), column("size", 2), column("bbox", 4)
    points = np.stack([numeric_array(row["3d_joints"], path, "3d_joints", None, 3) for row in rows])
    if points.shape[1] < 25 or (size <= 0).any():
        raise UserError(
            f"{path}: 3d_joints must hold at least 25 points, and size must be positive: create the file again."
        )
    joints = np.full((len(rows), 24, 3), np.nan)
    joints[:, list(JOINTS_OF_BODY_25)] = points[:, list(JOINTS_OF_BODY_25.values())] + transl[:, None]
    middle = (box[:, :2] + box[:, 2:] / 2) * width / size[:, 1:]
    motion = Motion(
        at=picture_numbers([row["time"] for row in rows], path, "time", len(rows)),
        rotations=np.concatenate([rotations("global_orient", 1), rotations("body_pose", 23)], 1),
        transl=transl,
        betas=np.mean([numeric_array(entry(row["smpl"], "betas", path), path, "betas", 10) for row in rows], 0),
        K=K,
        joints=joints,
        seen=middle,
        track=name,
    )
    return ordered(motion, path)
