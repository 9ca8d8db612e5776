"""Calibrations in OpenCV's FileStorage: EasyMocap's intri.yml and extri.yml, one file for all cameras, or one for each.

EasyMocap lists `names`. It writes K_NAME, dist_NAME (or D_NAME), H_NAME and W_NAME into intri.yml, and R_NAME (an
axis-angle), Rot_NAME (a matrix) and T_NAME into extri.yml. A single file with the same keys, or with a mapping of each
camera's entries, can be read too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hashhuman.errors import UserError
from hashhuman.io.listing import listed
from preprocess.calibration.cameras import Calibration, checked_calibration, picture_size
from preprocess.calibration.storage import SUFFIXES, read_storage

INTRI, EXTRI = "intri.yml", "extri.yml"

# Keys that an entry may have. EasyMocap's come first; the others are those of OpenCV's calibration programs and ours.
_NAMES = {
    "K": ("K", "camera_matrix", "Camera_Matrix", "cameraMatrix", "intrinsics"),
    "D": ("dist", "D", "distortion_coefficients", "Distortion_Coefficients", "distCoeffs", "distortion"),
    "R": ("R", "Rot", "rvec", "Rvec", "rotation"),
    "T": ("T", "tvec", "translation"),
    "height": ("H", "image_height", "image_Height", "height"),
    "width": ("W", "image_width", "image_Width", "width"),
}


def read_easymocap(folder: Path) -> dict[str, Calibration]:
    """The cameras of a folder with intri.yml and extri.yml, by name.

    Raises UserError if a file is absent or damaged, or a camera lacks an entry.
    """
    return _cameras(read_storage(folder / INTRI) | read_storage(folder / EXTRI), folder)


def read_opencv(path: Path) -> dict[str, Calibration]:
    """The cameras of one file, by name; or those of a folder with a file for each camera, by the files' names.

    Raises UserError if a file is damaged, or a camera lacks an entry. No camera gives an empty dict.
    """
    if path.is_dir():
        files = listed(path, SUFFIXES)
        return {file.stem: _camera(file.stem, read_storage(file), file) for file in files}
    return _cameras(read_storage(path), path)


def _cameras(values: dict[str, Any], source: Path) -> dict[str, Calibration]:
    if "names" in values:
        listed = values["names"]
        names = [str(name) for name in (listed if isinstance(listed, list) else [listed])]
        found = {name: _entries_of(values, name) for name in names}
    else:
        found = {name: value for name, value in values.items() if isinstance(value, dict)}
    if not found and _entry(values, "K") is not None:
        found = {source.stem: values}
    return {name: _camera(name, entries, source) for name, entries in found.items()}


def _entries_of(values: dict[str, Any], name: str) -> dict[str, Any]:
    """The entries whose keys end in a camera's name, without that ending."""
    suffix = f"_{name}"
    return {key.removesuffix(suffix): value for key, value in values.items() if key.endswith(suffix)}


def _entry(entries: Mapping[str, Any], field: str) -> Any:
    """The entry under the first of its names that is there, or None."""
    return next((entries[name] for name in _NAMES[field] if entries.get(name) is not None), None)


def _camera(name: str, entries: Mapping[str, Any], source: Path) -> Calibration:
    K, D, R, T, height, width = (_entry(entries, field) for field in _NAMES)
    if K is None or R is None or T is None:
        absent = ", ".join(field for field, value in (("K", K), ("R", R), ("T", T)) if value is None)
        raise UserError(f"{source} lacks {absent} of camera {name}.")
    return checked_calibration(source, name, K, D, R, T, picture_size(source, name, height, width))
