"""TRAM (Wang et al., ECCV 2024): the folder `results/NAME`, with `camera.npy` and `hps/hps_track_K.npy`.

Facts from github.com/yufu-wang/tram (scripts/estimate_camera.py, scripts/estimate_humans.py, lib/models/hmr_vimo.py,
lib/pipeline/visualization.py): pickled .npy files. `camera.npy` is {pred_cam_R N x 3 x 3, pred_cam_T N x 3, img_focal,
img_center 2} of all N pictures, with world = pred_cam_R camera + pred_cam_T in metres, and the rest in pixels of the
video. A track is {pred_rotmat F x 24 x 3 x 3, pred_shape F x 10, pred_trans F x 1 x 3, frame F, pred_cam, pred_pose},
of torch tensors in the camera's axes; `pred_trans` is SMPL's translation. Track 0 is the longest.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_npy
from preprocess.body_fit.source.camera import image_points, rescaled
from preprocess.body_fit.source.checks import entry, matrices, picture_numbers
from preprocess.body_fit.source.motion import Coordinates, Motion, Source, camera_or_world, ordered
from preprocess.body_fit.source.tensors import TENSORS
from preprocess.validate import numeric_array


class Tram(Source):
    """Reads TRAM's folder.

    Args:
        coordinates: `camera`, or `world` for the motion from which TRAM has removed the camera's; for a static camera.
    """

    def __init__(self, coordinates: Coordinates = "camera"):
        self.coordinates = camera_or_world(coordinates)

    def files(self, path: Path) -> list[Path]:
        return [path / "camera.npy", *_tracks(path)]

    def read(self, path: Path, width: int, height: int) -> list[Motion]:
        camera_path, *tracks = self.files(path)
        camera = load_npy(camera_path, TENSORS)
        focal = float(numeric_array(entry(camera, "img_focal", camera_path), camera_path, "img_focal"))
        center = numeric_array(entry(camera, "img_center", camera_path), camera_path, "img_center", 2)
        if not tracks:
            raise UserError(f"{path} has no hps/hps_track_*.npy: run TRAM's estimate_humans.py.")
        if focal <= 0 or center[0] <= 0:
            raise UserError(f"{camera_path}: img_focal and img_center must be positive: create the file again.")
        K = rescaled(np.array([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1]]), 2 * center[0], width)
        found = [_motion(load_npy(track, TENSORS), track, K) for track in tracks]
        return found if self.coordinates == "camera" else [_in_world(m, camera, camera_path) for m in found]


def _tracks(path: Path) -> list[Path]:
    return sorted(p for p in path.glob("hps/*.npy") if re.fullmatch(r"hps_track_\d+", p.stem))


def _motion(track: Any, path: Path, K: np.ndarray) -> Motion:
    pose = matrices(entry(track, "pred_rotmat", path), path, "pred_rotmat", None, 24)
    transl = numeric_array(entry(track, "pred_trans", path), path, "pred_trans", len(pose), 3)
    motion = Motion(
        at=picture_numbers(entry(track, "frame", path), path, "frame", len(pose)),
        rotations=pose,
        transl=transl,
        betas=numeric_array(entry(track, "pred_shape", path), path, "pred_shape", len(pose), None).mean(0),
        K=K,
        seen=image_points(K, transl),
        track=path.stem.removeprefix("hps_track_"),
    )
    return ordered(motion, path)


def _in_world(motion: Motion, camera: Any, path: Path) -> Motion:
    R = matrices(entry(camera, "pred_cam_R", path), path, "pred_cam_R", None)
    T = numeric_array(entry(camera, "pred_cam_T", path), path, "pred_cam_T", len(R), 3)
    if motion.at[-1] >= len(R):
        raise UserError(
            f"{path} has cameras of {len(R)} pictures, but bodies up to picture {motion.at[-1]:.0f}: run TRAM again."
        )
    assert motion.rotations is not None
    R, T = R[motion.at.astype(int)], T[motion.at.astype(int)]
    turned = np.concatenate([R[:, None] @ motion.rotations[:, :1], motion.rotations[:, 1:]], 1)
    # exact up to a constant: the pelvis' position in the rest body, which is not rotated here
    transl = (R @ motion.transl[..., None])[..., 0] + T
    return dataclasses.replace(motion, rotations=turned, transl=transl, K=None)
