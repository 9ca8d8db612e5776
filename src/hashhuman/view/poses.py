"""A motion at one time, and with joints turned by hand."""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from hashhuman.export.motion import Motion


def at(motion: Motion, time: float) -> Motion:
    """A motion of the one frame at `time` (s), interpolated between its neighbours."""
    first = int(np.searchsorted(motion.times, time, side="right")) - 1
    first = min(max(first, 0), max(len(motion.times) - 2, 0))
    pair = slice(first, first + 2)
    times = motion.times[pair]
    near = dataclasses.replace(motion, times=times - times[0], rotations=motion.rotations[pair], root=motion.root[pair])
    return near.at(np.array([time - times[0]]))


def turned(motion: Motion, degrees: Float[np.ndarray, "J 3"]) -> Motion:
    """The motion with each joint turned further, in its own axes: about x, then y, then z of the turned joint."""
    moved = np.flatnonzero(degrees.any(1))
    if not len(moved):
        return motion
    rotations = motion.rotations.copy()
    for joint in moved:
        more = Rotation.from_euler("XYZ", degrees[joint], degrees=True)
        rotations[:, joint] = (Rotation.from_quat(rotations[:, joint]) * more).as_quat()
    return dataclasses.replace(motion, rotations=rotations)
