"""Chooses a reader by a file's suffix."""

import dataclasses
from pathlib import Path

import numpy as np

from hashhuman.animate.clip import Clip
from hashhuman.animate.readers.asf import read_amc
from hashhuman.animate.readers.bvh import read_bvh
from hashhuman.animate.readers.gltf import read_glb
from hashhuman.animate.readers.npz import read_npz
from hashhuman.errors import UserError

SUFFIXES = (".bvh", ".npz", ".glb", ".amc")


def read(path: Path, fps: float | None = None, clip: int | str | None = None) -> Clip:
    """The motion of a file.

    Args:
        path: a .bvh, .npz (SMPL's family), .glb or .amc.
        fps: frames a second, for files that state none or a wrong one; None: as the file states. A .glb states the time
            of each key, and has no frames.
        clip: position or name of the clip in a .glb; None: its first.

    Raises:
        UserError: for another suffix, for an option that its format lacks, and if the file is missing, damaged or lacks
            something.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"motion={path} is neither a run's folder nor one of {', '.join(SUFFIXES)}.")
    if clip is not None and suffix != ".glb":
        raise UserError(f"{path} holds one motion, and clip={clip} chooses among those of a .glb: leave it out.")
    if fps is not None and suffix == ".glb":
        raise UserError(f"{path} states the time of each of its keys: leave out motion_fps={fps:g}.")
    if suffix == ".bvh":
        found = read_bvh(path)
    elif suffix == ".glb":
        found = read_glb(path, clip)
    else:
        found = (read_npz if suffix == ".npz" else read_amc)(path, fps)
    if fps is None:
        return found
    return dataclasses.replace(found, times=np.arange(len(found.times)) / fps)
