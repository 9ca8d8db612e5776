"""What a reader of another tool's files returns, and how it is brought to the pictures of a subject.

F rows, J joints: SMPL's, in its order (`SMPL_JOINTS`; the hands may be missing).
"""

import abc
import dataclasses
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation, Slerp

from hashhuman.errors import UserError

Coordinates = Literal["camera", "world"]


@dataclasses.dataclass(frozen=True)
class Motion:
    """One person's SMPL poses, row by row."""

    at: Float[np.ndarray, "F"]
    """Ascending: the picture of the video, from 0; with `seconds`, the time since its first."""
    rotations: Float[np.ndarray, "F J 3 3"]
    """Each joint's against its parent; the pelvis' against the axes of the camera or of the world."""
    transl: Float[np.ndarray, "F 3"]
    """SMPL's translation (m): the pelvis is there, shifted by its place in the rest body."""
    betas: Float[np.ndarray, "S"]
    K: Float[np.ndarray, "3 3"] | None
    """The pinhole camera that it was found with (pixels of the subject's pictures); None: it is not known."""
    camera_from_axes: tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]] = (np.eye(3), np.zeros(3))
    """R and T (m) of that camera: camera = R x + T."""
    joints: Float[np.ndarray, "F J 3"] | None = None
    """Positions in the same axes (m); NaN for those that the file lacks."""
    seen: Float[np.ndarray, "F 2"] | None = None
    """Where the person is in the pictures (pixels); needed where a file holds several people."""
    seconds: bool = False


def camera_or_world(coordinates: Coordinates) -> Coordinates:
    """Raises UserError for any other word."""
    if coordinates not in get_args(Coordinates):
        raise UserError(f"preprocess.body_fit.source.coordinates={coordinates} is neither camera nor world.")
    return coordinates


class Source(abc.ABC):
    """Reads the files of one tool."""

    def files(self, path: Path) -> list[Path]:
        """What is read of `path`."""
        return [path]

    @abc.abstractmethod
    def read(self, path: Path, width: int, height: int) -> list[Motion]:
        """Everybody in the file; the subject's pictures are width x height pixels.

        Raises UserError for files that are damaged, not allowed, or not this tool's.
        """


def resample(motion: Motion, at: Float[np.ndarray, "N"], reach: float) -> tuple[Motion, Bool[np.ndarray, "N"]]:
    """The motion at other times, and at which of them no row lies within `reach`, so that it is filled in.

    Rotations turn at constant speed between rows, positions move so; before the first and after the last all stand.
    """
    rows = motion.at
    distance = np.abs(at[:, None] - rows).min(1)
    inside = at.clip(rows[0], rows[-1])
    if len(rows) == 1:
        rotations = np.repeat(motion.rotations, len(at), 0)
    else:
        joints = [Slerp(rows, Rotation.from_matrix(motion.rotations[:, j])) for j in range(motion.rotations.shape[1])]
        rotations = np.stack([slerp(inside).as_matrix() for slerp in joints], 1)

    def between(values: np.ndarray) -> np.ndarray:
        columns = values.reshape(len(rows), -1).T
        return np.stack([np.interp(inside, rows, column) for column in columns], -1).reshape(-1, *values.shape[1:])

    optional = {name: getattr(motion, name) for name in ("joints", "seen")}
    resampled = dataclasses.replace(
        motion, at=at, rotations=rotations, transl=between(motion.transl),
        **{name: None if value is None else between(value) for name, value in optional.items()},
    )  # fmt: skip
    return resampled, distance > reach


def ordered(motion: Motion, path: Path) -> Motion:
    """The motion with its rows ascending. Raises UserError if two are of one time."""
    order = np.argsort(motion.at, kind="stable")
    if (np.diff(motion.at[order]) <= 0).any():
        raise UserError(f"{path} has several poses of one person in one picture: it is damaged, make it anew.")
    fields = {name: getattr(motion, name) for name in ("at", "rotations", "transl", "joints", "seen")}
    return dataclasses.replace(motion, **{k: None if v is None else v[order] for k, v in fields.items()})
