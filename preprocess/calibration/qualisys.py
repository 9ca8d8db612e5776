"""Calibrations of Qualisys (`*.qca.txt`, XML)."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from hashhuman.errors import UserError
from preprocess.calibration.cameras import Calibration, checked_calibration

SUBPIXELS = 64  # intrinsics count 64ths of pixels
MILLIMETRES = 1000
FLIP = np.diag([1.0, -1.0, -1.0])  # their camera looks along -z with y up, OpenCV's along z with y down


def read_qualisys(path: Path) -> dict[str, Calibration]:
    """The cameras of a file by their serial numbers, in its order. Raises UserError if it is no such file."""
    try:
        cameras = [_camera(node, path) for node in ElementTree.parse(path).getroot().iter("camera")]
    except (OSError, ElementTree.ParseError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"{path} is not a Qualisys calibration: {error}.") from None
    return {camera.name: camera for camera in cameras}


def _camera(node: ElementTree.Element, path: Path) -> Calibration:
    def numbers(tag: str, *names: str) -> list[float]:
        return [float(node.find(tag).attrib[name]) for name in names]  # type: ignore[union-attr]

    fx, fy, cx, cy = numbers("intrinsic", "focalLengthU", "focalLengthV", "centerPointU", "centerPointV")
    k1, k2, k3 = numbers("intrinsic", *(f"radialDistortion{i}" for i in (1, 2, 3)))
    p1, p2 = numbers("intrinsic", "tangentalDistortion1", "tangentalDistortion2")
    turn = np.array(numbers("transform", *(f"r{a}{b}" for a in (1, 2, 3) for b in (1, 2, 3)))).reshape(3, 3)
    camera_from_world = FLIP @ turn  # the file lists the columns of world_from_camera
    center = np.array(numbers("transform", "x", "y", "z")) / MILLIMETRES
    left, top, right, bottom = numbers("fov_video", "left", "top", "right", "bottom")
    return checked_calibration(
        path,
        node.attrib["serial"],
        K=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, SUBPIXELS]]) / SUBPIXELS,
        D=[k1, k2, p1, p2, k3],
        R=camera_from_world,
        T=-camera_from_world @ center,
        size=(int(bottom - top) + 1, int(right - left) + 1),
    )
