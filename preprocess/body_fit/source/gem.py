"""GEM (Li et al., NVIDIA): `hpe_results.pt` of GEM-X, whose body is SOMA, and `smpl_params.pt` of GEM-SMPL.

Facts from github.com/NVlabs/GEM-X at 3299255 (scripts/demo/demo_soma.py, gem/utils/soma_utils/soma_layer.py,
gem/network/endecoder.py), github.com/NVlabs/SOMA-X at 1126b63 (soma/soma.py, soma/geometry/batched_skinning.py,
soma/geometry/rig_utils.py) and github.com/NVlabs/GENMO at b7d3b6b (scripts/demo/demo_smpl_hpe.py, demo_smpl.py,
gem/gem.py): a torch.save of {body_params_incam, body_params_global, K_fullimg F x 3 x 3, ...}, with one row per picture
of the video, for one person. `incam` is in the camera's axes, `global` in a world whose y axis points up. `K_fullimg`
is in pixels of the video with the principal point at (width / 2, height / 2).

GEM-SMPL: {body_pose F x 63, betas F x 10, global_orient F x 3, transl F x 3} of SMPL-X. `segment_info` lists the parts
of a mixed run, {start, end, type, video_path or caption}, whose rows follow one another; those of a text show nobody.

GEM-X: {global_orient F x 3, body_pose F x 228, transl F x 3, identity_coeffs F x 45, scale_params F x 69}. The
rotations are of SOMA's 77 joints against their parents, axis-angle in the axes of its T-pose; `transl` is the position
of its hips joint (m). Identity and scales are MHR's, so that bone lengths cannot be told without that model; the body's
size then follows from the keypoints.
"""

from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.body.anny import PARENTS
from hashhuman.body.template import SMPL_JOINTS
from hashhuman.errors import UserError
from preprocess.body_fit.source.camera import image_points, rescaled
from preprocess.body_fit.source.checks import axis_angles, entry, smpl_joints
from preprocess.body_fit.source.motion import Coordinates, Motion, Source, camera_or_world
from preprocess.body_fit.source.tensors import load_torch
from preprocess.validate import numeric_array

FINGERS = ("Thumb", 3), ("Index", 4), ("Middle", 4), ("Ring", 4), ("Pinky", 4)  # the bones of each


def _arm(side: str) -> list[tuple[str, str]]:
    """SOMA's joints of an arm, each with its parent."""
    bones = [f"{side}Shoulder", f"{side}Arm", f"{side}ForeArm", f"{side}Hand"]
    found = list(zip(bones, ["Chest", *bones]))
    for finger, count in FINGERS:
        chain = [f"{side}Hand", *(f"{side}Hand{finger}{k}" for k in range(1, count + 1)), f"{side}Hand{finger}End"]
        found += zip(chain[1:], chain)
    return found


def _leg(side: str) -> list[tuple[str, str]]:
    chain = ["Hips", *(f"{side}{bone}" for bone in ("Leg", "Shin", "Foot", "ToeBase", "ToeEnd"))]
    return list(zip(chain[1:], chain))


SPINE = ("Hips", "Spine1", "Spine2", "Chest", "Neck1", "Neck2", "Head")
SOMA = dict(
    [("Hips", ""), *zip(SPINE[1:], SPINE), *((name, "Head") for name in ("HeadEnd", "Jaw", "LeftEye", "RightEye")),
     *_arm("Left"), *_arm("Right"), *_leg("Left"), *_leg("Right")]
)  # fmt: skip
"""{joint: its parent} of SOMA's 77 joints, in its order."""
_SIDED = {
    "hip": "Leg", "knee": "Shin", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder", "shoulder": "Arm",
    "elbow": "ForeArm", "wrist": "Hand", "hand": "Hand",
}  # fmt: skip
_MIDDLE = {"pelvis": "Hips", "spine1": "Spine1", "spine2": "Spine2", "spine3": "Chest", "neck": "Neck1", "head": "Head"}
JOINTS = tuple(
    _MIDDLE.get(name) or name.split("_")[0].capitalize() + _SIDED[name.split("_")[1]] for name in SMPL_JOINTS
)
"""SOMA's joint for each of SMPL's 24; its fingers are left out."""
LIMBS = {
    f"{side}_{name}": np.array([x * sign, y, 0.0])
    for side, sign in (("left", 1.0), ("right", -1.0))
    for name, (x, y) in {"hip": (0, -1), "knee": (0, -1), "shoulder": (1, 0), "elbow": (1, 0)}.items()
}
"""Directions of SOMA's limbs in its T-pose: arms straight to the sides, legs straight down."""


class Gem(Source):
    """Reads `hpe_results.pt` or `smpl_params.pt`.

    Args:
        coordinates: `camera`, or `world` for the motion from which GEM has removed the camera's; for a static camera.
    """

    def __init__(self, coordinates: Coordinates = "camera"):
        self.coordinates = camera_or_world(coordinates)

    def read(self, path: Path, width: int, height: int) -> list[Motion]:
        content = load_torch(path)
        if isinstance(content, dict) and "smpl_params_incam" in content:
            raise UserError(f"{path} is GVHMR's: use preprocess/body_fit/source=gvhmr.")
        key = {"camera": "body_params_incam", "world": "body_params_global"}[self.coordinates]
        params = entry(content, key, path)
        root = axis_angles(entry(params, "global_orient", path), path, "global_orient", None)
        count = len(root)
        body = axis_angles(entry(params, "body_pose", path), path, "body_pose", count)
        pose = np.concatenate([root, body], 1)
        K = numeric_array(entry(content, "K_fullimg", path), path, "K_fullimg", count, 3, 3)
        transl = numeric_array(entry(params, "transl", path), path, "transl", count, 3)
        rows = _rows_of_video(content.get("segment_info"), count, path)
        K = K[rows.start]
        if not (K[[0, 1, 0, 1], [0, 1, 2, 2]] > 0).all():
            raise UserError(f"{path}: K_fullimg is not the matrix of a camera: create the file again.")
        if "identity_coeffs" in params:
            own: dict[str, Any] = {
                "rotations": _smpl_from_soma(pose, path)[rows], "betas": np.zeros(0), "body": "soma", "limbs": LIMBS,
            }  # fmt: skip
        else:
            betas = numeric_array(entry(params, "betas", path), path, "betas", count, None)
            own = {
                "rotations": smpl_joints(pose, path, "body_pose")[rows],
                "betas": betas[rows].mean(0),
                "body": "smplx",
            }
        K = rescaled(K, 2 * K[0, 2], width)
        world = self.coordinates == "world"
        motion = Motion(
            at=np.arange(rows.stop - rows.start, dtype=float),
            transl=transl[rows],
            K=None if world else K,
            seen=None if world else image_points(K, transl[rows]),
            **own,
        )
        return [motion]


def _rows_of_video(segments: Any, count: int, path: Path) -> slice:
    """The rows that show the video, in a file that may also hold motions that a text describes."""
    if segments is None:
        return slice(0, count)
    if not isinstance(segments, list):
        raise UserError(f"{path}: segment_info must be a list: create the file again.")
    videos = [segment for segment in segments if entry(segment, "type", path) == "video"]
    if len(videos) != 1:
        raise UserError(f"{path} holds motions of {len(videos)} videos: run GEM on this video by itself.")
    start, stop = (int(numeric_array(entry(videos[0], name, path), path, name)) for name in ("start", "end"))
    if not 0 <= start < stop <= count:
        raise UserError(f"{path}: segment_info does not fit its {count} pictures: create the file again.")
    return slice(start, stop)


def _smpl_from_soma(pose: np.ndarray, path: Path) -> np.ndarray:
    """Rotations (F, 24, 3, 3) of SMPL's joints against their parents, from those of SOMA's 77."""
    if pose.shape[1] != len(SOMA):
        raise UserError(
            f"{path}: body_pose must hold {len(SOMA) - 1} joints, which SOMA has besides its hips, but holds "
            f"{pose.shape[1] - 1}: create the file again."
        )
    turned: dict[str, np.ndarray] = {}
    for j, (name, parent) in enumerate(SOMA.items()):
        turned[name] = turned[parent] @ pose[:, j] if parent else pose[:, j]
    own = np.stack([turned[name] for name in JOINTS], 1)
    local = np.swapaxes(own[:, list(PARENTS[1:])], -1, -2) @ own[:, 1:]
    return np.concatenate([own[:, :1], local], 1)
