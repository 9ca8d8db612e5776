"""Checks of what a pose consists of in other tools' files; whatever is wrong raises UserError with one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from hashhuman.body.template import SMPL_JOINTS
from hashhuman.errors import UserError
from preprocess.validate import finite_array, numeric_array

COMMON = 22  # the first joints of SMPL, SMPL+H and SMPL-X are the same: all of SMPL's except the hands


def entry(container: Any, key: str, path: Path) -> Any:
    """The value of a dictionary read from `path`. Raises UserError if it is no dictionary, or lacks the key."""
    if not isinstance(container, dict) or key not in container:
        raise UserError(f"{path} has no {key!r} where this tool writes it: choose another preprocess/body_fit/source.")
    return container[key]


def matrices(value: Any, path: Path, name: str, *shape: int | None) -> np.ndarray:
    """Rotation matrices (*shape, 3, 3), made exactly orthogonal. Raises UserError if they are no rotations."""
    array = numeric_array(value, path, name, *shape, 3, 3)
    off = np.abs(array @ np.swapaxes(array, -1, -2) - np.eye(3)).max(initial=0)
    if off > 0.01 or (np.linalg.det(array) < 0).any():
        raise UserError(f"{path}: {name} holds matrices that are no rotations: create the file again.")
    return Rotation.from_matrix(array.reshape(-1, 3, 3)).as_matrix().reshape(array.shape)


def axis_angles(value: Any, path: Path, name: str, count: int | None) -> np.ndarray:
    """Rotation matrices (F, J, 3, 3) of F rows of axis-angle vectors (radians), each of shape 3J or J x 3.

    Args:
        value: the rows.
        path, name: file and entry, for error messages.
        count: F; None for any number.

    Raises UserError for other shapes, for no rows at all, and for values that must be degrees.
    """
    array = finite_array(value, path, name)
    if array.ndim > 2 and array.shape[-1] == 3:
        array = array.reshape(*array.shape[:-2], array.shape[-2] * 3)
    array = numeric_array(array, path, name, count, None)
    if not array.size or array.shape[1] % 3:
        raise UserError(f"{path}: {name} must hold rows of three numbers per joint, but has the shape {array.shape}.")
    vectors = array.reshape(-1, 3)
    if np.linalg.norm(vectors, axis=-1).max() > 4 * np.pi:
        raise UserError(f"{path}: {name} must hold radians, but its values are too large for that: are they degrees?")
    return Rotation.from_rotvec(vectors).as_matrix().reshape(len(array), -1, 3, 3)


def smpl_joints(rotations: np.ndarray, path: Path, name: str) -> np.ndarray:
    """Rotations (F, J, 3, 3) as SMPL's: its 24 joints as they are, and of SMPL+H or SMPL-X the 22 common ones.

    Raises UserError for fewer than 22.
    """
    if rotations.shape[1] == len(SMPL_JOINTS):
        return rotations
    if rotations.shape[1] < COMMON:
        raise UserError(f"{path}: {name} must hold at least {COMMON} joints, but holds {rotations.shape[1]}.")
    return rotations[:, :COMMON]


def smpl_pose(value: Any, path: Path, name: str) -> np.ndarray:
    """`smpl_joints` of rows of axis-angle vectors (radians) of all joints, the pelvis first."""
    return smpl_joints(axis_angles(value, path, name, None), path, name)


def picture_numbers(value: Any, path: Path, name: str, count: int) -> np.ndarray:
    """Numbers (count,) of pictures of a video, from 0. Raises UserError if there are none, or invalid ones."""
    array = numeric_array(value, path, name, count)
    if not count or (array < 0).any() or (array != array.round()).any():
        raise UserError(f"{path}: {name} must hold at least one picture number, whole and not negative.")
    return array
