"""Definitions that the reader and the writer of a subject folder share."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from hashhuman.body.template import BodyPose
from hashhuman.errors import UserError

VERSION = 1  # of subject.json
TALLEST = 10.0  # metres: no person is that tall, and a body in millimetres or centimetres is taller
FARTHEST = 10_000.0  # metres from the origin; single precision leaves millimetres there
LARGEST_ANGLE = 4 * np.pi  # radians: fits count turns on at times, but degrees are larger
MILLIMETRES = 1000.0  # in a metre: `T` of annots.npy is in millimetres


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture that annots.npy lists and that exists."""

    camera: int  # position in annots.npy
    frame: int  # number in the file's name
    image: Path
    mask: Path | None  # None: it does not exist
    parts: Path | None


def check_pose(pose: BodyPose, source: Path) -> None:
    """Raises UserError if no person can have this pose: a joint turned too far, or a body too far away."""
    angle = float(torch.cat([pose.body_pose, pose.orient[None]]).norm(dim=1).max())
    distance = float(pose.transl.norm())
    if not angle <= LARGEST_ANGLE:
        raise UserError(f"{source} turns a joint by {angle:.3g} rad, beyond any person's range: are these degrees?")
    if not distance <= FARTHEST:
        raise UserError(f"{source} puts the body {distance:.3g} m away from the origin: are these metres?")
