"""The lens that took a video, and the rectification of its pictures to those of a pinhole camera."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import load_json
from preprocess.calibration.cameras import DISTORTIONS


@dataclasses.dataclass(frozen=True)
class Lens:
    """Intrinsics of the video's own pictures (upright, before any resizing), under OpenCV's conventions."""

    K: np.ndarray
    """(3, 3) float64, pixels."""
    D: np.ndarray
    """(N,) float64: k1, k2, p1, p2, k3, ...; N is 4, 5, 8, 12 or 14. Of a fisheye: k1, k2, k3, k4 of its angles."""
    fisheye: bool = False

    @staticmethod
    def parse(camera: str | Mapping[str, Any]) -> "Lens":
        """Reads the lens from a mapping with `K` and, optionally, `D`, or from a JSON file that holds such a mapping.

        Its `model` is `pinhole` (the default) or `fisheye` (OpenCV's cv2.fisheye, whose `D` means something else).

        Raises UserError if it is neither, or holds numbers that cannot be a lens.
        """
        values = load_json(Path(camera)) if isinstance(camera, str) else camera
        try:
            K = np.asarray(values["K"], float).reshape(3, 3)
            D = np.asarray(values["D"] if values.get("D") is not None else np.zeros(5), float).ravel()
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise UserError(
                f"the camera {camera} must hold K, a 3 x 3 matrix in pixels, and may hold D, OpenCV's distortion."
            ) from None
        model = values.get("model", "pinhole")
        if model not in ("pinhole", "fisheye"):
            raise UserError(f"the camera {camera} has the model {model!r}: it must be pinhole or fisheye.")
        if model == "fisheye" and values.get("D") is None:
            D = np.zeros(4)
        if model == "fisheye" and len(D) != 4:
            raise UserError(f"the camera {camera} is a fisheye, whose D holds 4 numbers (cv2.fisheye), not {len(D)}.")
        if len(D) not in DISTORTIONS or not (np.isfinite(K).all() and np.isfinite(D).all()):
            raise UserError(f"the camera {camera} must hold finite numbers, and 4, 5, 8, 12 or 14 of them in D.")
        return Lens(K, D, model == "fisheye")

    @staticmethod
    def assumed(height: int, width: int, focal: float | None) -> "Lens":
        """A centred lens without distortion. An unknown focal length (pixels) is taken to be 1.2 min(height, width)."""
        f = focal or 1.2 * min(height, width)
        return Lens(np.array([[f, 0, (width - 1) / 2], [0, f, (height - 1) / 2], [0, 0, 1]]), np.zeros(5))


class Rectifier:
    """Undoes the distortion, then shrinks the picture, so that what is written is a pinhole camera's picture.

    Args:
        lens: of the pictures as they come.
        height, width: of the pictures as they come (pixels).
        max_size: the largest long side of what is written (pixels); None keeps the size.
    """

    def __init__(self, lens: Lens, height: int, width: int, max_size: int | None):
        scale = min(1.0, (max_size or max(height, width)) / max(height, width))
        self.size = max(1, round(width * scale)), max(1, round(height * scale))
        K, self._maps = lens.K, None
        if lens.fisheye:
            K = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
                lens.K, lens.D, (width, height), np.eye(3), balance=0
            )
            maps = cv2.fisheye.initUndistortRectifyMap(lens.K, lens.D, np.eye(3), K, (width, height), cv2.CV_16SC2)
            self._maps = maps[0], maps[1]
        elif lens.D.any():  # alpha 0: the new picture shows only what the lens saw, so it has no black border
            K, _ = cv2.getOptimalNewCameraMatrix(lens.K, lens.D, (width, height), 0)
            maps = cv2.initUndistortRectifyMap(lens.K, lens.D, np.eye(3), K, (width, height), cv2.CV_16SC2)
            self._maps = maps[0], maps[1]
        self.K = K.copy()
        for axis, (new, old) in enumerate(zip(self.size, (width, height))):
            self.K[axis] *= new / old
            self.K[axis, 2] += 0.5 * new / old - 0.5

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The rectified picture (h, w, 3) uint8 of a picture (H, W, 3) uint8."""
        if self._maps:
            image = cv2.remap(image, *self._maps, interpolation=cv2.INTER_CUBIC)
        if image.shape[1::-1] != self.size:
            image = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA)
        return image

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """The rectified mask of a picture, not shrunk: several ids (H, W) as uint16, or coverage (H, W), float32."""
        coverage = mask.dtype.kind == "f" or mask.max() <= 1
        mask = mask.astype(np.float32 if coverage else np.uint16, copy=False)
        if not self._maps:
            return mask
        # with fixed-point maps, INTER_NEAREST takes the farther pixel (findings/)
        maps = cv2.convertMaps(*self._maps, cv2.CV_32FC1)
        return cv2.remap(mask, *maps, interpolation=cv2.INTER_LINEAR if coverage else cv2.INTER_NEAREST)

    def camera(self) -> Camera:
        """The camera of the rectified pictures. World coordinates are the camera's own (R = 1, T = 0)."""
        width, height = self.size
        return Camera(torch.from_numpy(self.K).float(), torch.eye(3), torch.zeros(3), height, width)
