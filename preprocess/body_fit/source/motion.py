"""The form in which every reader returns a person's motion, and how it is resampled to the subject's pictures.

A motion has F rows and J joints, which are SMPL's in its order (`SMPL_JOINTS`); the hands may be missing.
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
    """One person's SMPL poses.

    The pelvis is in the axes of a camera (x right, y down, z forward) or of a world.
    """

    at: Float[np.ndarray, "F"]
    """The picture of the video that each row is of, from 0; the time in seconds if `seconds` is set. Ascending."""
    rotations: Float[np.ndarray, "F J 3 3"]
    """Of each joint against its parent; the pelvis' is in the axes of the camera or world."""
    transl: Float[np.ndarray, "F 3"]
    """SMPL's translation (m): the position of the pelvis minus its position in the rest body."""
    betas: Float[np.ndarray, "S"]
    """SMPL's shape parameters."""
    K: Float[np.ndarray, "3 3"] | None
    """Intrinsics of the tool's camera, in pixels of the subject's pictures; None if there is no such camera."""
    camera_from_axes: tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]] = (np.eye(3), np.zeros(3))
    """Extrinsics R and T (m) of that camera: camera = R x + T."""
    joints: Float[np.ndarray, "F J 3"] | None = None
    """Positions of the joints (m) in the same axes as `transl`; NaN for those that the file lacks."""
    hips: Float[np.ndarray, "F 3"] | None = None
    """The middle of both hip joints (m) in the same axes, of a tool that gives it in place of the translation."""
    seen: Float[np.ndarray, "F 2"] | None = None
    """Where the person is in the pictures (pixels); required of a reader whose files may hold several people."""
    track: str = "0"
    """The tool's own name of the track, for messages."""
    seconds: bool = False
    """Whether `at` is the time since the first picture of the video, in seconds."""


def camera_or_world(coordinates: Coordinates) -> Coordinates:
    """The argument, if it is `camera` or `world`. Raises UserError otherwise."""
    if coordinates not in get_args(Coordinates):
        raise UserError(
            f"preprocess.body_fit.source.coordinates={coordinates} is neither camera nor world: use one of them."
        )
    return coordinates


class Source(abc.ABC):
    """Reads the files of one tool."""

    def files(self, path: Path) -> list[Path]:
        """The files that `read` opens; the stage runs again when their content changes."""
        return [path]

    @abc.abstractmethod
    def read(self, path: Path, width: int, height: int) -> list[Motion]:
        """Reads the motion of everybody in the file.

        Args:
            path: the file, or the tool's folder.
            width, height: of the subject's pictures (pixels).

        Raises UserError for a file that is absent, damaged, not this tool's, or that holds executable content.
        """


def resample(motion: Motion, at: Float[np.ndarray, "N"], reach: float) -> tuple[Motion, Bool[np.ndarray, "N"]]:
    """The motion at other times, and at which of them it had to be filled in.

    Between two rows, rotations are interpolated spherically and positions linearly. Before the first row and after the
    last one, that row is repeated.

    Args:
        motion: of F rows.
        at: the N times, in the unit of `motion.at`.
        reach: a time is filled in if no row lies within this distance.
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

    optional = {name: getattr(motion, name) for name in ("joints", "hips", "seen")}
    resampled = dataclasses.replace(
        motion, at=at, rotations=rotations, transl=between(motion.transl),
        **{name: None if value is None else between(value) for name, value in optional.items()},
    )  # fmt: skip
    return resampled, distance > reach


def ordered(motion: Motion, path: Path) -> Motion:
    """The motion with its rows in ascending order of time. Raises UserError if two rows have the same time."""
    order = np.argsort(motion.at, kind="stable")
    if (np.diff(motion.at[order]) <= 0).any():
        raise UserError(f"{path} has several poses of one person in one picture: create it again.")
    fields = {name: getattr(motion, name) for name in ("at", "rotations", "transl", "joints", "hips", "seen")}
    return dataclasses.replace(motion, **{k: None if v is None else v[order] for k, v in fields.items()})
