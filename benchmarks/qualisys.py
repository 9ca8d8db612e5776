"""Cameras of a Qualisys calibration (`*.qca.txt`, XML) in OpenCV's conventions."""

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from hashhuman.errors import UserError

SUBPIXELS = 64  # intrinsics count 64ths of pixels
FLIP = np.diag([1.0, -1.0, -1.0])  # their camera looks along -z with y up, OpenCV's along z with y down


@dataclasses.dataclass(frozen=True)
class Calibration:
    """One camera: x_cam = R x_world + T, pixel centres at integers. float64."""

    name: str
    K: np.ndarray
    """(3, 3) pixels."""
    D: np.ndarray
    """(5,) k1, k2, p1, p2, k3."""
    R: np.ndarray
    """(3, 3)."""
    T: np.ndarray
    """(3,) metres."""
    height: int
    width: int

    def letterboxed(self, height: int, width: int) -> "Calibration":
        """The camera of pictures that were shrunk to a width and got black rows above and below to fill a height.

        Raises UserError if the shrunk picture is higher than that.
        """
        scale = width / self.width
        rows = round((height - self.height * scale) / 2)
        if rows < 0:
            raise UserError(f"{self.name} was calibrated at {self.width} x {self.height}, not {width} x {height}.")
        K = self.K.copy()
        K[:2] *= scale
        K[:2, 2] += 0.5 * scale - 0.5
        K[1, 2] += rows
        return dataclasses.replace(self, K=K, height=height, width=width)


def read_calibration(path: Path) -> list[Calibration]:
    """The cameras of a file, in its order. Raises UserError if it is no such file."""
    try:
        cameras = [_camera(node) for node in ElementTree.parse(path).getroot().iter("camera")]
    except (OSError, ElementTree.ParseError, KeyError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is not a Qualisys calibration: {error}.") from None
    if not cameras:
        raise UserError(f"{path} holds no camera.")
    return cameras


def _camera(node: ElementTree.Element) -> Calibration:
    def numbers(tag: str, *names: str) -> list[float]:
        return [float(node.find(tag).attrib[name]) for name in names]  # type: ignore[union-attr]

    fx, fy, cx, cy = numbers("intrinsic", "focalLengthU", "focalLengthV", "centerPointU", "centerPointV")
    k1, k2, k3 = numbers("intrinsic", *(f"radialDistortion{i}" for i in (1, 2, 3)))
    p1, p2 = numbers("intrinsic", "tangentalDistortion1", "tangentalDistortion2")
    turn = np.array(numbers("transform", *(f"r{a}{b}" for a in (1, 2, 3) for b in (1, 2, 3)))).reshape(3, 3)
    world_from_theirs = turn.T  # the file lists columns
    center = np.array(numbers("transform", "x", "y", "z")) / 1000
    left, top, right, bottom = numbers("fov_video", "left", "top", "right", "bottom")
    return Calibration(
        name=node.attrib["serial"],
        K=np.array([[fx / SUBPIXELS, 0, cx / SUBPIXELS], [0, fy / SUBPIXELS, cy / SUBPIXELS], [0, 0, 1]]),
        D=np.array([k1, k2, p1, p2, k3]),
        R=FLIP @ world_from_theirs.T,
        T=-FLIP @ world_from_theirs.T @ center,
        height=int(bottom - top) + 1,
        width=int(right - left) + 1,
    )
