"""Reads annots.npy: the cameras, and the pictures of each frame."""

import dataclasses
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float

from hashhuman.data.subject.layout import MILLIMETRES
from hashhuman.errors import UserError
from hashhuman.io import files
from hashhuman.io.inside import relative_name


@dataclasses.dataclass(frozen=True)
class Annots:
    """The content of annots.npy: C cameras in OpenCV's convention, float64, and the pictures listed for each frame."""

    K: Float[np.ndarray, "C 3 3"]  # pixels
    D: Float[np.ndarray, "C 5"]  # distortion: k1, k2, p1, p2, k3
    R: Float[np.ndarray, "C 3 3"]
    T: Float[np.ndarray, "C 3"]  # metres
    pictures: list[list[PurePosixPath]]  # frame by frame, camera by camera; relative to the subject folder


def read_annots(path: Path) -> Annots:
    """Reads and checks annots.npy.

    Raises UserError if it is absent or malformed, or lists a picture outside the subject folder.
    """
    annots = files.load_npy(path)
    try:
        cams = {name: [np.asarray(x, np.float64) for x in annots["cams"][name]] for name in ("K", "D", "R", "T")}
        listed = [[str(name) for name in frame["ims"]] for frame in annots["ims"]]
    except (KeyError, TypeError, IndexError, ValueError, OverflowError):
        raise UserError(f"{path} must hold cams (K, D, R, T of each camera) and ims (each frame's pictures).") from None
    rows = [[relative_name(name, path) for name in row] for row in listed]
    count = len(cams["K"])
    shapes = {"K": {(3, 3)}, "R": {(3, 3)}, "T": {(3,)}, "D": {(4,), (5,)}}
    for name, allowed in shapes.items():
        values = [x.ravel() if name in "TD" else x for x in cams[name]]
        if len(values) != count or not all(x.shape in allowed and np.isfinite(x).all() for x in values):
            raise UserError(f"{path}: cams[{name!r}] must hold {count} finite arrays of shape {min(allowed)}.")
        cams[name] = values
    if not count or max((len(row) for row in rows), default=0) > count:
        raise UserError(f"{path} lists pictures of more cameras than the {count} it describes.")
    distortion = np.array([np.pad(x, (0, 5 - len(x))) for x in cams["D"]])
    return Annots(np.array(cams["K"]), distortion, np.array(cams["R"]), np.array(cams["T"]) / MILLIMETRES, rows)
