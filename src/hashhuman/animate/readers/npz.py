"""Reads motions of SMPL's family from .npz files: AMASS's keys, SMPL's own, and what this project exports.

An entry `joints` with `joint_names` and `parents` states the skeleton at rest, as our own files have it. Others take
it from the body model of their authors. Here a standing body with level arms stands in, of round numbers: directions
of its bones and the length of its legs are all that is needed of it. Facts about AMASS: see amass.is.tue.mpg.de.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from hashhuman.animate.clip import Clip, chained
from hashhuman.body.template import SMPL_JOINTS
from hashhuman.errors import UserError
from hashhuman.io import limits
from hashhuman.io.files import load_npz

RATES = ("mocap_framerate", "mocap_frame_rate", "fps")
BODY = 22  # joints that all bodies of the family begin with; behind them each has its own
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
_LEFT = {  # metres, y up, the left at +x
    "hip": (0.08, 0.90, 0.0), "knee": (0.09, 0.49, 0.0), "ankle": (0.09, 0.08, -0.03), "foot": (0.11, 0.02, 0.10),
    "collar": (0.05, 1.36, -0.01), "shoulder": (0.17, 1.40, -0.02), "elbow": (0.43, 1.40, -0.03),
    "wrist": (0.69, 1.40, -0.03),
}  # fmt: skip
_MIDDLE = {"pelvis": 0.95, "spine1": 1.05, "spine2": 1.18, "spine3": 1.23, "neck": 1.45, "head": 1.55}


def read_npz(path: Path, fps: float | None = None) -> Clip:
    """The motion of an archive with `poses` and `trans`, or `global_orient`, `body_pose` and `transl`.

    Args:
        path: the file.
        fps: frames a second, if the file states none.

    Raises:
        UserError: if the file is damaged, or lacks an entry.
    """
    keys = {"poses", "trans", "global_orient", "body_pose", "transl", "joints", "joint_names", "parents", "times"}
    content = load_npz(path, {*keys, *RATES})
    poses, trans = _poses(content, path)
    names, parents, joints = _skeleton(content, poses.shape[1], path)
    poses = poses[:, : len(names)]
    try:
        limits.check_motion(*poses.shape[:2])
    except ValueError as error:
        raise UserError(f"{path}: {error}.") from None
    rotations = Rotation.from_rotvec(poses.reshape(-1, 3)).as_quat().reshape(*poses.shape[:2], 4)
    offsets = joints - np.where(np.array(parents)[:, None] < 0, 0, joints[list(parents)])
    moved = np.tile(offsets, (len(poses), 1, 1))
    moved[:, 0] += trans
    turns, places = chained(parents, rotations, moved)
    return Clip(names, parents, joints, _times(content, len(poses), path, fps), turns, places, None)


def _poses(content: Mapping[str, np.ndarray], path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Axis-angle rotations (F J 3) and translations (F 3)."""
    if {"poses", "trans"} <= content.keys():
        poses, trans = (_numbers(content, key, path) for key in ("poses", "trans"))
    elif {"global_orient", "body_pose", "transl"} <= content.keys():
        orient, body, trans = (_numbers(content, key, path) for key in ("global_orient", "body_pose", "transl"))
        if not body.size or orient.size != 3 * len(body):
            raise UserError(f"{path}: global_orient must be {len(body)} x 3 numbers, as many as body_pose has frames.")
        poses = np.concatenate([orient.reshape(-1, 3), body.reshape(-1, body[:1].size)], 1)
    else:
        raise UserError(
            f"{path} is no motion of SMPL's family: it must have poses and trans, or global_orient, body_pose, transl."
        )
    if not len(poses) or poses[0].size % 3 or trans.shape != (len(poses), 3):
        raise UserError(f"{path}: a frame must have three numbers a joint, and a translation of three.")
    return poses.reshape(len(poses), -1, 3), trans


def _numbers(content: Mapping[str, np.ndarray], key: str, path: Path) -> np.ndarray:
    value = content[key]
    if value.dtype.kind not in "fiu" or not value.ndim or not np.isfinite(value).all():
        raise UserError(f"{path}: {key} must hold finite numbers, one row a frame.")
    return value.astype(float)


def _skeleton(
    content: Mapping[str, np.ndarray], count: int, path: Path
) -> tuple[tuple[str, ...], tuple[int, ...], np.ndarray]:
    """Names, parents and positions at rest."""
    if {"joints", "joint_names", "parents"} <= content.keys():
        joints, parents = _numbers(content, "joints", path), _numbers(content, "parents", path).astype(int)
        names = tuple(str(name) for name in content["joint_names"].reshape(-1))
        before = parents.shape == (count,) and (parents < np.arange(count)).all() and (parents[1:] >= 0).all()
        if joints.shape != (count, 3) or len(names) != count or not before:
            raise UserError(f"{path}: joints, joint_names and parents must describe the {count} joints of its poses.")
        return names, (-1, *parents[1:].tolist()), joints
    if count < BODY:
        raise UserError(f"{path}: its poses have {count} joints, and the bodies of SMPL's family at least {BODY}.")
    return SMPL_JOINTS[:BODY], PARENTS, np.array([_standing(name) for name in SMPL_JOINTS[:BODY]])


def _standing(name: str) -> tuple[float, float, float]:
    side, _, limb = name.rpartition("_")
    if not side:
        return (0.0, _MIDDLE[name], 0.0)
    x, y, z = _LEFT[limb]
    return (x if side == "left" else -x, y, z)


def _times(content: Mapping[str, np.ndarray], count: int, path: Path, fps: float | None) -> np.ndarray:
    if "times" in content:
        times = _numbers(content, "times", path)
        if times.shape != (count,) or (np.diff(times) <= 0).any():
            raise UserError(f"{path}: times must be {count} ascending numbers (s).")
        return times - times[0]
    key = next((key for key in RATES if key in content), None)
    if key is None and fps is not None:
        return np.arange(count) / fps
    if key is None:
        raise UserError(f"{path} states no frame rate: add motion_fps= with its frames a second.")
    rate = content[key]
    if rate.size != 1 or rate.dtype.kind not in "fiu" or not np.isfinite(rate).all() or float(rate.reshape(())) <= 0:
        raise UserError(f"{path}: {key} must be a number above 0.")
    return np.arange(count) / float(rate.reshape(()))
