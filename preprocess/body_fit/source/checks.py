"""What a pose is made of, out of files that others wrote: of the right kind, or a sentence that says what is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from hashhuman.body.template import SMPL_JOINTS
from hashhuman.errors import UserError
from preprocess.validate import finite_array, numeric_array

COMMON = 22  # joints that all of SMPL's family begin with: all of SMPL's but the hands


def entry(container: Any, key: str, path: Path) -> Any:
    """What a dictionary of `path` holds under `key`. Raises UserError if it is no dictionary, or lacks the key."""
    if not isinstance(container, dict) or key not in container:
        raise UserError(f"{path} has no {key!r} where this tool writes it: choose another preprocess/body_fit/source.")
    return container[key]


def matrices(value: Any, path: Path, name: str, *shape: int | None) -> np.ndarray:
    """Rotation matrices (*shape, 3, 3), made exactly orthogonal. Raises UserError for other matrices."""
    array = numeric_array(value, path, name, *shape, 3, 3)
    off = np.abs(array @ np.swapaxes(array, -1, -2) - np.eye(3)).max(initial=0)
    if off > 0.01 or (np.linalg.det(array) < 0).any():
        raise UserError(f"{path}: {name} holds matrices that are no rotations; make the file anew.")
    return Rotation.from_matrix(array.reshape(-1, 3, 3)).as_matrix().reshape(array.shape)


def axis_angles(value: Any, path: Path, name: str, count: int | None) -> np.ndarray:
    """Rotation matrices (F, J, 3, 3) of `count` (None: any number of) rows of axis-angle vectors, 3J or J x 3, radians.

    Raises UserError for other shapes, for no rows at all, and for degrees.
    """
    array = finite_array(value, path, name)
    if array.ndim > 2 and array.shape[-1] == 3:
        array = array.reshape(*array.shape[:-2], array.shape[-2] * 3)
    array = numeric_array(array, path, name, count, None)
    if not array.size or array.shape[1] % 3:
        raise UserError(f"{path}: {name} must hold rows of three numbers for each joint, not {array.shape}.")
    vectors = array.reshape(-1, 3)
    if np.linalg.norm(vectors, axis=-1).max() > 4 * np.pi:
        raise UserError(f"{path}: {name} must hold radians; these are degrees, or no rotations.")
    return Rotation.from_rotvec(vectors).as_matrix().reshape(len(array), -1, 3, 3)


def smpl_joints(rotations: np.ndarray, path: Path, name: str) -> np.ndarray:
    """SMPL's 24 joints, or of more or fewer (SMPL+H, SMPL-X) the 22 that SMPL's family has in common."""
    if rotations.shape[1] == len(SMPL_JOINTS):
        return rotations
    if rotations.shape[1] < COMMON:
        raise UserError(f"{path}: {name} must hold {COMMON} joints or more, not {rotations.shape[1]}.")
    return rotations[:, :COMMON]


def smpl_pose(value: Any, path: Path, name: str) -> np.ndarray:
    """The same of whole poses: rows of axis-angle vectors of all joints, the pelvis first."""
    return smpl_joints(axis_angles(value, path, name, None), path, name)


def pictures(value: Any, path: Path, name: str, count: int) -> np.ndarray:
    """Numbers of a video's pictures (count), from 0. Raises UserError for negative ones and fractions."""
    array = numeric_array(value, path, name, count)
    if not count or (array < 0).any() or (array != array.round()).any():
        raise UserError(f"{path}: {name} must hold whole numbers of pictures, from 0, and some.")
    return array
