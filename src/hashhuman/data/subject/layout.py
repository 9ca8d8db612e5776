"""Definitions that the reader and the writer of a subject folder share."""

import dataclasses
import re
from pathlib import Path

import numpy as np

from hashhuman.body.template import BodyPose
from hashhuman.errors import UserError

VERSION = 1  # of subject.json
TALLEST = 10.0  # metres: no person is that tall, and a body in millimetres or centimetres is taller
FARTHEST = 10_000.0  # metres from the origin; single precision leaves millimetres there
LARGEST_ANGLE = 4 * np.pi  # radians of a joint: fits count turns on at times, but degrees are larger
MOST_TURNS = 16 * np.pi  # radians of the whole body, where a person who turns before the camera may be counted on
FINDING = ("verdict", "name", "value", "advice")  # of each entry of findings.json; verdict: ok, warn or bad
REFINED_MASKS = "mask_refined"  # folder of what an avatar has learned: coverage, never ids
MILLIMETRES = 1000.0  # in a metre: `T` of annots.npy is in millimetres

# Poses and vertices, skinning, and the list of pictures, under this project's names and under those that neural body,
# animatable NeRF and their successors read (github.com/zju3dv). Of theirs, `new_` was fitted anew, and is better.
_POSES = (("smpl_params", "smpl_vertices"), ("new_params", "new_vertices"), ("params", "vertices"))
_SKINNING = ("smpl_lbs", "lbs")
_ANNOTS = ("annots.npy", "annots_new.npy")
# CoreView_313 and _315 of ZJU-MoCap call a picture CoreView_313_Camera_(1)_0001_2019-08-23_16-08-50.592.jpg, and the
# pose in it 1.npy.
_FRAME = re.compile(r"([0-9]{1,9})|CoreView_[0-9]+_Camera_\([0-9]+\)_([0-9]{1,9})_.*")


def names_in(root: Path) -> dict[str, str]:
    """What a subject folder calls smpl_params, smpl_vertices, smpl_lbs and annots.npy; so if it has none of the names.

    Poses and vertices are of one fit.
    """
    params, vertices = next((row for row in _POSES if (root / row[0]).is_dir()), _POSES[0])
    lbs = next((name for name in _SKINNING if (root / name).is_dir()), _SKINNING[0])
    annots = next((name for name in _ANNOTS if (root / name).exists()), _ANNOTS[0])
    return {"smpl_params": params, "smpl_vertices": vertices, "smpl_lbs": lbs, "annots.npy": annots}


def frame_of(stem: str) -> int | None:
    """The frame's number in a picture's name without suffix; None if it is not named by one."""
    match = _FRAME.fullmatch(stem)
    return int(match[1] or match[2]) if match else None


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
    angle = float(pose.body_pose.norm(dim=1).max())
    distance = float(pose.transl.norm())
    turned = float(pose.orient.norm())
    if not angle <= LARGEST_ANGLE:
        raise UserError(f"{source} turns a joint by {angle:.3g} rad, beyond any person's range: are these degrees?")
    if not turned <= MOST_TURNS:
        raise UserError(
            f"{source} turns the whole body by {turned:.3g} rad: are these degrees? "
            "If turns are counted on, take whole ones off."
        )
    if not distance <= FARTHEST:
        raise UserError(f"{source} puts the body {distance:.3g} m away from the origin: are these metres?")
