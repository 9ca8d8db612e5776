"""A calibrated camera under OpenCV's conventions, its checks, and its match with a recording."""

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float

from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera

DISTORTIONS = (4, 5, 8, 12, 14)  # how many coefficients OpenCV's distortion may have
_ORTHONORMAL = 1e-2  # largest entry of R R^T - 1 that is accepted, since files hold rounded numbers


def picture_size(source: Path, name: str, height: Any, width: Any) -> tuple[int, int] | None:
    """Height and width as a file states them; None if one is absent. Raises UserError if they are no whole numbers."""
    try:
        return None if height is None or width is None else (int(height), int(width))
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{source}: the picture size of camera {name} is not two whole numbers.") from None


@dataclasses.dataclass(frozen=True)
class Calibration:
    """One camera: x_cam = R x_world + T, x right, y down, z forward, pixel centres at integers; all float64."""

    name: str
    K: Float[np.ndarray, "3 3"]  # pixels of pictures of `size`
    D: Float[np.ndarray, " N"]  # OpenCV's k1, k2, p1, p2, k3, ...
    R: Float[np.ndarray, "3 3"]
    T: Float[np.ndarray, "3"]  # metres, or the unit that the file counts in
    size: tuple[int, int] | None  # height and width of the calibrated pictures; None if the file does not say

    def scaled(self, height: int, width: int) -> "Calibration":
        """The camera of the same pictures resized to another size (pixels). An unknown size is assumed to be this one.

        Raises UserError if the aspect ratio differs from the calibrated one.
        """
        if self.size in (None, (height, width)):
            return dataclasses.replace(self, size=(height, width))
        rows, columns = self.size
        if abs(columns * height - width * rows) > max(height, width):  # rounding by half a pixel on either side
            raise UserError(
                f"Camera {self.name} was calibrated at {columns} x {rows}, not {width} x {height}: its pictures may be "
                "resized, but not cropped or stretched."
            )
        K = self.K.copy()
        for axis, ratio in enumerate((width / columns, height / rows)):
            K[axis] *= ratio
            K[axis, 2] += 0.5 * ratio - 0.5
        return dataclasses.replace(self, K=K, size=(height, width))

    def camera(self, height: int, width: int) -> Camera:
        """The pinhole camera of undistorted pictures of this size (pixels), float32. Raises UserError like `scaled`."""
        scaled = self.scaled(height, width)
        K, R, T = (torch.from_numpy(getattr(scaled, name)).float() for name in "KRT")
        return Camera(K, R, T, height, width)


def checked_calibration(
    source: Path | str, name: str, K: object, D: object, R: object, T: object, size: tuple[int, int] | None
) -> Calibration:
    """A camera from the numbers of a file.

    Args:
        source: the file, for error messages.
        name: the camera's name.
        K: intrinsics, 3 x 3.
        D: distortion coefficients; None means no distortion.
        R: rotation, 3 x 3 or an axis-angle (3, radians).
        T: translation, 3 numbers.
        size: height and width of the calibrated pictures, if known.

    Raises UserError if a shape is wrong, a number is not finite, K is not a matrix of intrinsics, or R not a rotation.
    """
    try:
        arrays = {
            "K": np.asarray(K, np.float64).reshape(3, 3),
            "D": np.zeros(5) if D is None else np.asarray(D, np.float64).ravel(),
            "R": _rotation(np.asarray(R, np.float64)),
            "T": np.asarray(T, np.float64).reshape(3),
        }
    except (TypeError, ValueError, OverflowError):
        raise UserError(
            f"{source}: camera {name} needs K (3 x 3), R (3 x 3, or 3 for an axis-angle), T (3) and, optionally, D."
        ) from None
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise UserError(f"{source}: camera {name} has numbers that are not finite.")
    if len(arrays["D"]) not in DISTORTIONS:
        raise UserError(
            f"{source}: the distortion of camera {name} has {len(arrays['D'])} numbers, not 4, 5, 8, 12 or 14."
        )
    K_, R_ = arrays["K"], arrays["R"]
    if not (K_[0, 0] > 0 and K_[1, 1] > 0 and (K_[2] == (0, 0, 1)).all()):
        raise UserError(f"{source}: K of camera {name} is not a matrix of intrinsics (fx 0 cx, 0 fy cy, 0 0 1).")
    if abs(R_ @ R_.T - np.eye(3)).max() > _ORTHONORMAL or np.linalg.det(R_) < 0:
        raise UserError(f"{source}: R of camera {name} is not a rotation.")
    u, _, vt = np.linalg.svd(R_)
    if size is not None and not all(length > 0 for length in size):
        size = None  # EasyMocap writes -1 for an unknown size
    return Calibration(name, K_, arrays["D"], u @ vt, arrays["T"], size)


def _rotation(R: np.ndarray) -> np.ndarray:
    if R.size == 3:
        return np.asarray(cv2.Rodrigues(R.reshape(3, 1))[0], np.float64)
    return R.reshape(3, 3)


def match_recordings(
    cameras: dict[str, Calibration], recordings: list[str], source: Path | str
) -> dict[str, Calibration]:
    """The camera of each recording: the one of the same name, else the only one whose name the recording's contains.

    Args:
        cameras: the calibration's, by name.
        recordings: names of the recordings.
        source: the calibration's path, for error messages.

    Raises UserError if a recording has no camera, or several, or shares one with another recording.
    """
    found = {}
    for name in recordings:
        candidates = [name] if name in cameras else [camera for camera in cameras if camera in name]
        if len(candidates) != 1:
            known = ", ".join(cameras)
            raise UserError(f"{source} has {len(candidates)} cameras for {name}: name the recordings after {known}.")
        found[name] = cameras[candidates[0]]
    if len({camera.name for camera in found.values()}) < len(found):
        raise UserError(
            f"{source}: two of {', '.join(recordings)} match the same camera: name them after their cameras."
        )
    return found
