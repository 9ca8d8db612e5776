"""Calibrations of Qualisys Track Manager (`*.qca.txt`, which is XML)."""

from pathlib import Path

import numpy as np

from hashhuman.errors import UserError
from preprocess.calibration.cameras import Calibration, checked_calibration
from preprocess.calibration.xml import ElementTree, read_xml

SUBPIXELS = 64  # the file gives intrinsics in 64ths of a pixel
MILLIMETRES = 1000  # in a metre; the file gives positions in millimetres
FLIP = np.diag([1.0, -1.0, -1.0])  # Qualisys' camera looks along -z with y up, OpenCV's along z with y down


def read_qualisys(path: Path) -> dict[str, Calibration]:
    """The cameras of a file (T in metres) by serial number, in the file's order. Raises UserError if it is damaged."""
    try:
        cameras = [_camera(node, path) for node in read_xml(path).iter("camera")]
    except (ElementTree.ParseError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"{path} is not a Qualisys calibration: {error}.") from None
    return {camera.name: camera for camera in cameras}


def _camera(node: ElementTree.Element, path: Path) -> Calibration:
    def attributes(tag: str, *names: str) -> list[float]:
        return [float(node.find(tag).attrib[name]) for name in names]  # type: ignore[union-attr]

    fx, fy, cx, cy = attributes("intrinsic", "focalLengthU", "focalLengthV", "centerPointU", "centerPointV")
    k1, k2, k3 = attributes("intrinsic", *(f"radialDistortion{i}" for i in (1, 2, 3)))
    p1, p2 = attributes("intrinsic", "tangentalDistortion1", "tangentalDistortion2")
    columns = np.array(attributes("transform", *(f"r{a}{b}" for a in (1, 2, 3) for b in (1, 2, 3)))).reshape(3, 3)
    camera_from_world = FLIP @ columns  # the file lists world_from_camera column by column, so this is its transpose
    center = np.array(attributes("transform", "x", "y", "z")) / MILLIMETRES
    left, top, right, bottom = attributes("fov_video", "left", "top", "right", "bottom")
    return checked_calibration(
        path,
        node.attrib["serial"],
        K=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, SUBPIXELS]]) / SUBPIXELS,
        D=[k1, k2, p1, p2, k3],
        R=camera_from_world,
        T=-camera_from_world @ center,
        size=(int(bottom - top) + 1, int(right - left) + 1),
    )
