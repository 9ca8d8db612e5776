"""The form in which every reader returns a person's motion, and how it is resampled to the subject's pictures.

A motion has F rows and J joints, which are SMPL's in its order (`SMPL_JOINTS`); the hands may be missing. A tool whose
skeleton is not known here has points on the body instead of rotations.
"""

import abc
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation, Slerp

from hashhuman.errors import UserError

Coordinates = Literal["camera", "world"]


@dataclasses.dataclass(frozen=True)
class Motion:
    """One person's poses.

    The pelvis and the points are in the axes of a camera (x right, y down, z forward) or of a world.
    """

    at: Float[np.ndarray, "F"]
    """The picture of the video that each row is of, from 0; the time in seconds if `seconds` is set. Ascending."""
    rotations: Float[np.ndarray, "F J 3 3"] | None
    """Of each joint against its parent, from the rest pose of `body`; the pelvis' is in the axes of the camera or
    world. None if the motion has points instead."""
    transl: Float[np.ndarray, "F 3"]
    """SMPL's translation (m): the position of the pelvis minus its position in the rest body."""
    betas: Float[np.ndarray, "S"]
    """The shape parameters of `body`."""
    K: Float[np.ndarray, "3 3"] | None
    """Intrinsics of the tool's camera, in pixels of the subject's pictures; None if there is no such camera."""
    camera_from_axes: tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]] = (np.eye(3), np.zeros(3))
    """Extrinsics R and T (m) of that camera: camera = R x + T."""
    joints: Float[np.ndarray, "F J 3"] | None = None
    """Positions of the joints (m) in the same axes as `transl`; NaN for those that the file lacks."""
    hips: Float[np.ndarray, "F 3"] | None = None
    """The middle of both hip joints (m) in the same axes, of a tool that gives it in place of the translation."""
    points: Float[np.ndarray, "F P 3"] | None = None
    """Positions of landmarks of the body (m) in the same axes as `transl`, if there are no rotations."""
    landmarks: tuple[str, ...] = ()
    """The body model's name for each of the P points (`BodyModel.landmark_basis`)."""
    body: str = "smpl"
    """`BodyModel.name` of the body whose rest pose and shape `rotations` and `betas` are of; another name, such as
    `soma`, for a body that is not here."""
    limbs: Mapping[str, Float[np.ndarray, "3"]] | None = None
    """Directions of that body's limbs at rest, by the joint that moves the limb (x to the person's left, y up, z
    forward). None: those of SMPL's T-pose."""
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
    rotations = motion.rotations
    if rotations is not None and len(rows) == 1:
        rotations = np.repeat(rotations, len(at), 0)
    elif rotations is not None:
        joints = [Slerp(rows, Rotation.from_matrix(rotations[:, j])) for j in range(rotations.shape[1])]
        rotations = np.stack([slerp(inside).as_matrix() for slerp in joints], 1)

    def between(values: np.ndarray) -> np.ndarray:
        columns = values.reshape(len(rows), -1).T
        return np.stack([np.interp(inside, rows, column) for column in columns], -1).reshape(-1, *values.shape[1:])

    optional = {name: getattr(motion, name) for name in ("joints", "hips", "points", "seen")}
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
    names = ("at", "rotations", "transl", "joints", "hips", "points", "seen")
    fields = {name: getattr(motion, name) for name in names}
    return dataclasses.replace(motion, **{k: None if v is None else v[order] for k, v in fields.items()})
