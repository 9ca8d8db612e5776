"""Reads the calibration of Pose2Sim and Caliscope: a .toml file with a table for each camera.

Facts from github.com/perfanalytics/pose2sim (Pose2Sim/calibration.py, version 0.10): a table holds name, size (width,
height), matrix (3 x 3), distortions (k1, k2, p1, p2), rotation (axis-angle) and translation (m) of world to camera, and
fisheye (a truth value); the table `metadata` is none of a camera.
"""

import tomllib
from pathlib import Path

from hashhuman.errors import UserError
from hashhuman.io import limits
from hashhuman.io.files import reading
from preprocess.calibration.cameras import Calibration, checked_calibration, picture_size


def read_pose2sim(path: Path) -> dict[str, Calibration]:
    """The cameras by name. Raises UserError if the file is damaged, or a camera is a fisheye."""
    with reading(path, "TOML") as file:
        limits.check_size(file, limits.TEXT_BYTES)
        content = tomllib.load(file)
    cameras = {}
    for key, table in content.items():
        if not isinstance(table, dict) or "matrix" not in table:
            continue
        name = str(table.get("name", key))
        if table.get("fisheye"):
            raise UserError(
                f"{path}: camera {name} is a fisheye, whose coefficients mean something else: undistort it."
            )
        size = table.get("size")
        width, height = size if isinstance(size, list) and len(size) == 2 else (None, None)
        shape = picture_size(path, name, height, width)
        K, D, R, T = (table.get(field) for field in ("matrix", "distortions", "rotation", "translation"))
        cameras[name] = checked_calibration(path, name, K, D, R, T, shape)
    return cameras
