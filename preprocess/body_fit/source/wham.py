"""WHAM (Shin et al., CVPR 2024): `wham_output.pkl`, written by its demo with --save_pkl.

Facts from github.com/yohanshin/WHAM (demo.py, lib/models/smpl.py, lib/utils/imutils.py): a joblib pickle of
{track: {pose F x 72, trans F x 3, pose_world, trans_world, betas F x 10, verts F x 6890 x 3, frame_ids F}}. `pose` and
`trans` are SMPL's in the camera's axes, and make SMPL's vertices `verts`. `pose_world` is in a world whose y axis
points up; `trans_world` is the middle of the hips there, which WHAM's SMPL puts into the origin, not SMPL's
translation. Without a calibration, WHAM assumes that the optical axis passes through the middle of the picture and that
the focal length is its diagonal, sqrt(width^2 + height^2).
"""

from pathlib import Path

import numpy as np

from hashhuman.errors import UserError
from preprocess.body_fit.source.camera import centred, image_points
from preprocess.body_fit.source.checks import entry, picture_numbers, smpl_pose
from preprocess.body_fit.source.joblib_file import load_joblib
from preprocess.body_fit.source.motion import Coordinates, Motion, Source, camera_or_world, ordered
from preprocess.validate import numeric_array


class Wham(Source):
    """Reads `wham_output.pkl`.

    Args:
        coordinates: `camera`, or `world` for the motion from which WHAM has removed the camera's; for a static camera.
        focal: focal length that WHAM was given, in pixels of images/00; None takes the diagonal, which WHAM assumes.
    """

    def __init__(self, coordinates: Coordinates = "camera", focal: float | None = None):
        self.coordinates, self.focal = camera_or_world(coordinates), focal

    def read(self, path: Path, width: int, height: int) -> list[Motion]:
        tracks = load_joblib(path)
        if not isinstance(tracks, dict) or not tracks:
            raise UserError(f"{path} holds no tracks: it is not WHAM's wham_output.pkl.")
        K = centred(self.focal or float(np.hypot(width, height)), width, height)
        return [self._track(str(name), track, path, K) for name, track in tracks.items()]

    def _track(self, name: str, track: dict, path: Path, K: np.ndarray) -> Motion:
        suffix = "_world" if self.coordinates == "world" else ""
        pose = smpl_pose(entry(track, "pose" + suffix, path), path, "pose" + suffix)
        count = len(pose)
        in_camera = numeric_array(entry(track, "trans", path), path, "trans", count, 3)
        transl = numeric_array(entry(track, "trans" + suffix, path), path, "trans" + suffix, count, 3)
        motion = Motion(
            at=picture_numbers(entry(track, "frame_ids", path), path, "frame_ids", count),
            rotations=pose,
            transl=transl,
            hips=transl if suffix else None,
            betas=numeric_array(entry(track, "betas", path), path, "betas", count, None).mean(0),
            K=None if suffix else K,
            seen=image_points(K, in_camera),
            track=name,
        )
        return ordered(motion, path)
