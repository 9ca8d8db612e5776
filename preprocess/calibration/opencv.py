"""Calibrations in OpenCV's FileStorage: EasyMocap's intri.yml and extri.yml, one file for all cameras, one file each.

EasyMocap lists `names`, and writes K_NAME, dist_NAME (or D_NAME), H_NAME, W_NAME into intri.yml, and R_NAME (an
axis-angle), Rot_NAME (a matrix), T_NAME into extri.yml. The same keys in one file, or a mapping of each camera's
entries, are read too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hashhuman.errors import UserError
from preprocess.calibration.cameras import Calibration, checked_calibration
from preprocess.calibration.storage import SUFFIXES, read_storage

INTRI, EXTRI = "intri.yml", "extri.yml"

# What an entry may be called; the first are EasyMocap's, others those of OpenCV's own calibration programs and of ours.
_NAMES = {
    "K": ("K", "camera_matrix", "Camera_Matrix", "cameraMatrix", "intrinsics"),
    "D": ("dist", "D", "distortion_coefficients", "Distortion_Coefficients", "distCoeffs", "distortion"),
    "R": ("R", "Rot", "rvec", "Rvec", "rotation"),
    "T": ("T", "tvec", "translation"),
    "height": ("H", "image_height", "image_Height", "height"),
    "width": ("W", "image_width", "image_Width", "width"),
}


def read_easymocap(folder: Path) -> dict[str, Calibration]:
    """The cameras of a folder with intri.yml and extri.yml."""
    return _cameras(read_storage(folder / INTRI) | read_storage(folder / EXTRI), folder)


def read_opencv(path: Path) -> dict[str, Calibration]:
    """The cameras of one file; of a folder, one a file, under the files' names.

    Raises UserError if there is none, or one lacks an entry.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        return {file.stem: _camera(file.stem, read_storage(file), file) for file in files}
    return _cameras(read_storage(path), path)


def _cameras(values: dict[str, Any], source: Path) -> dict[str, Calibration]:
    if "names" in values:
        listed = values["names"]
        names = [str(name) for name in (listed if isinstance(listed, list) else [listed])]
        found = {name: _own(values, name) for name in names}
    else:
        found = {name: value for name, value in values.items() if isinstance(value, dict)}
    if not found and _entry(values, "K") is not None:
        found = {source.stem: values}
    return {name: _camera(name, entries, source) for name, entries in found.items()}


def _own(values: dict[str, Any], name: str) -> dict[str, Any]:
    """One camera's entries, whose keys end in its name."""
    tail = f"_{name}"
    return {key.removesuffix(tail): value for key, value in values.items() if key.endswith(tail)}


def _entry(entries: Mapping[str, Any], field: str) -> Any:
    return next((entries[name] for name in _NAMES[field] if entries.get(name) is not None), None)


def _camera(name: str, entries: Mapping[str, Any], source: Path) -> Calibration:
    K, D, R, T, height, width = (_entry(entries, field) for field in _NAMES)
    if K is None or R is None or T is None:
        absent = ", ".join(field for field, value in (("K", K), ("R", R), ("T", T)) if value is None)
        raise UserError(f"{source} lacks {absent} of the camera {name}.")
    try:
        size = None if height is None or width is None else (int(height), int(width))
    except (TypeError, ValueError):
        raise UserError(f"{source}: the picture size of the camera {name} is not two numbers.") from None
    return checked_calibration(source, name, K, D, R, T, size)
