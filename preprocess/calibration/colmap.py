"""Reads a COLMAP model as text: `cameras.txt` and `images.txt`.

Facts from colmap.github.io/format.html and src/colmap/sensor/models.h: a camera is `ID MODEL WIDTH HEIGHT PARAMS...`; a
picture has two lines, `ID QW QX QY QZ TX TY TZ CAMERA_ID NAME` and its points, which may be none. x_cam = R x_world + T
with x right, y down, z forward, in units of the scene. COLMAP puts the middle of the upper left pixel at (0.5, 0.5).
"""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from hashhuman.errors import UserError
from hashhuman.io.files import reading
from preprocess.calibration.cameras import Calibration

# Of each model, which parameters are fx, fy, cx, cy and OpenCV's k1, k2, p1, p2.
_MODELS = {
    "SIMPLE_PINHOLE": ((0, 0, 1, 2), ()),
    "PINHOLE": ((0, 1, 2, 3), ()),
    "SIMPLE_RADIAL": ((0, 0, 1, 2), (3,)),
    "RADIAL": ((0, 0, 1, 2), (3, 4)),
    "OPENCV": ((0, 1, 2, 3), (4, 5, 6, 7)),
}


@dataclasses.dataclass(frozen=True)
class Shot:
    """A picture and the camera that took it, in units of the scene."""

    name: str
    camera: Calibration


def read_colmap(folder: Path) -> list[Shot]:
    """The registered pictures of a model, by name.

    Raises UserError if a file is missing or malformed, or a camera's model is not one of OpenCV's.
    """
    cameras = {}
    for row in _lines(folder / "cameras.txt"):
        words = row.split()
        if words:
            cameras[words[0]] = _camera(words, folder / "cameras.txt")
    path, shots = folder / "images.txt", []
    rows = _lines(path)
    for row in rows[::2]:
        if not (words := row.split(maxsplit=9)):
            continue
        if len(words) != 10 or words[8] not in cameras:
            raise UserError(f"{path} is not COLMAP's list of pictures: {row.strip()[:60]!r} is no picture of a camera.")
        quaternion, T = np.split(_numbers(words[1:8], path), [4])
        if not 0.9 < np.linalg.norm(quaternion) < 1.1:
            raise UserError(f"{path}: the quaternion of {words[9].strip()} is no rotation.")
        R = Rotation.from_quat(quaternion, scalar_first=True).as_matrix()
        shots.append(Shot(words[9].strip(), dataclasses.replace(cameras[words[8]], R=R, T=T)))
    if not shots:
        raise UserError(f"{path} lists no pictures: does the reconstruction hold any?")
    return sorted(shots, key=lambda shot: shot.name)


def _lines(path: Path) -> list[str]:
    """The lines of a file, without comments; empty ones count, since a picture may have no points."""
    if not path.exists() and path.with_suffix(".bin").exists():
        raise UserError(
            f"{path} does not exist: write it with colmap model_converter --input_path {path.parent} --output_path "
            f"{path.parent} --output_type TXT."
        )
    with reading(path, "COLMAP text") as file:
        text = file.read().decode("utf-8")
    return [line for line in text.splitlines() if not line.startswith("#")]


def _camera(words: list[str], path: Path) -> Calibration:
    if len(words) < 4 or words[1] not in _MODELS:
        raise UserError(
            f"{path} has a camera {' '.join(words[:2])}, and its model must be one of {', '.join(_MODELS)}: undistort "
            "the pictures with colmap image_undistorter."
        )
    (fx, fy, cx, cy), distortion = _MODELS[words[1]]
    numbers = _numbers(words[2:], path)
    if len(numbers) != 2 + 1 + max((cy, *distortion)):
        raise UserError(
            f"{path}: a camera of the model {words[1]} must have other parameters than {' '.join(words[4:])}."
        )
    (width, height), values = numbers[:2], numbers[2:]
    if min(width, height, values[fx], values[fy]) <= 0:
        raise UserError(f"{path}: the size and the focal length of camera {words[0]} must be positive.")
    K = np.array([[values[fx], 0, values[cx] - 0.5], [0, values[fy], values[cy] - 0.5], [0, 0, 1]])
    D = np.zeros(5)
    D[: len(distortion)] = values[list(distortion)]
    return Calibration(words[0], K, D, np.eye(3), np.zeros(3), (int(height), int(width)))


def _numbers(words: list[str], path: Path) -> Float[np.ndarray, " N"]:
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError:
        numbers = np.array([np.nan])
    if not np.isfinite(numbers).all():
        raise UserError(f"{path} holds {' '.join(words)[:60]!r} where finite numbers must stand.")
    return numbers
