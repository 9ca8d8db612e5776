"""Calibrated cameras, of whichever file, under OpenCV's conventions; and the choice of the reader."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float

from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera

DISTORTIONS = (4, 5, 8, 12, 14)  # how many numbers OpenCV's distortion may have
_ROTATION = 1e-2  # how far the entries of a rotation may be from orthonormal; files round


@dataclasses.dataclass(frozen=True)
class Calibration:
    """One camera: x_cam = R x_world + T, pixel centres at integers, float64."""

    name: str
    K: Float[np.ndarray, "3 3"]  # pixels of pictures of `size`
    D: Float[np.ndarray, " N"]  # OpenCV's k1, k2, p1, p2, k3, ...
    R: Float[np.ndarray, "3 3"]
    T: Float[np.ndarray, "3"]  # metres
    size: tuple[int, int] | None  # height and width of the calibrated pictures, if the file tells

    def scaled(self, height: int, width: int) -> "Calibration":
        """The camera of pictures of another size but the same shape.

        Raises UserError if they have another shape than the calibrated ones. A size that is not known is taken to fit.
        """
        if self.size in (None, (height, width)):
            return dataclasses.replace(self, size=(height, width))
        rows, columns = self.size
        if abs(columns * height - width * rows) > max(height, width):  # half a pixel of each
            raise UserError(f"The camera {self.name} was calibrated at {columns} x {rows}, not {width} x {height}.")
        K = self.K.copy()
        for axis, ratio in enumerate((width / columns, height / rows)):
            K[axis] *= ratio
            K[axis, 2] += 0.5 * ratio - 0.5
        return dataclasses.replace(self, K=K, size=(height, width))

    def camera(self, height: int, width: int) -> Camera:
        """The camera of undistorted pictures of a size (pixels), float32."""
        scaled = self.scaled(height, width)
        K, R, T = (torch.from_numpy(getattr(scaled, name)).float() for name in "KRT")
        return Camera(K, R, T, height, width)


def checked_calibration(
    source: Path | str, name: str, K: object, D: object, R: object, T: object, size: tuple[int, int] | None
) -> Calibration:
    """A camera from whatever numbers a file holds; `R` is 3 x 3 or an axis-angle, an absent `D` means none.

    Raises UserError, naming `source` and the camera, if the shapes are wrong or a number is not finite, K no matrix of
    intrinsics, R no rotation.
    """
    try:
        arrays = {
            "K": np.asarray(K, np.float64).reshape(3, 3),
            "D": np.zeros(5) if D is None else np.asarray(D, np.float64).ravel(),
            "R": _rotation(np.asarray(R, np.float64)),
            "T": np.asarray(T, np.float64).reshape(3),
        }
    except (TypeError, ValueError):
        raise UserError(f"{source}: the camera {name} needs K (3 x 3), R (3 x 3 or 3), T (3) and perhaps D.") from None
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise UserError(f"{source}: the camera {name} has numbers that are not finite.")
    if len(arrays["D"]) not in DISTORTIONS:
        raise UserError(
            f"{source}: the distortion of camera {name} has {len(arrays['D'])} numbers, not 4, 5, 8, 12, 14."
        )
    K_, R_ = arrays["K"], arrays["R"]
    if not (K_[0, 0] > 0 and K_[1, 1] > 0 and (K_[2] == (0, 0, 1)).all()):
        raise UserError(f"{source}: K of the camera {name} is no matrix of intrinsics (fx 0 cx, 0 fy cy, 0 0 1).")
    if abs(R_ @ R_.T - np.eye(3)).max() > _ROTATION or np.linalg.det(R_) < 0:
        raise UserError(f"{source}: R of the camera {name} is no rotation.")
    u, _, vt = np.linalg.svd(R_)
    if size is not None and not all(length > 0 for length in size):
        size = None  # EasyMocap writes -1 for what it does not know
    return Calibration(name, K_, arrays["D"], u @ vt, arrays["T"], size)


def _rotation(R: np.ndarray) -> np.ndarray:
    if R.size == 3:
        return np.asarray(cv2.Rodrigues(R.reshape(3, 1))[0], np.float64)
    return R.reshape(3, 3)


def match(cameras: dict[str, Calibration], names: list[str], source: Path | str) -> dict[str, Calibration]:
    """The camera of each recording: of the same name, else the only one whose name is part of the recording's.

    Raises UserError if a recording has none, or several, or two recordings share one.
    """
    found = {}
    for name in names:
        candidates = [name] if name in cameras else [camera for camera in cameras if camera in name]
        if len(candidates) != 1:
            known = ", ".join(cameras)
            raise UserError(f"{source} has {len(candidates)} cameras for {name}: name the recordings after {known}.")
        found[name] = cameras[candidates[0]]
    if len({camera.name for camera in found.values()}) < len(found):
        raise UserError(f"{source}: two of {', '.join(names)} are of one camera: name them after their cameras.")
    return found
