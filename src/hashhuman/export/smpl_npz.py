"""Writes a motion as an archive with the keys of SMPL's and AMASS's files, whose units and axes it states itself."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from hashhuman.export.motion import Motion, Skeleton
from hashhuman.io.files import save_npz

AXES = (
    "metres, radians, seconds; y up, facing +z, the left at +x. global_orient turns the body about its pelvis, as in "
    "SMPL; joint rotations are axis-angle relative to the parent, from the rest pose `joints`, which is the body's "
    "own: angles of a body that rests with its arms down are not those of SMPL, which rests with its arms level."
)


class SmplNpzFile:
    """`motion.npz`: the motion as `global_orient`, `body_pose` and `transl`, and as AMASS's `poses` and `trans`."""

    def __call__(self, exports: Any, folder: Path) -> Path:
        """Writes the file and returns its path."""
        path = folder / "motion.npz"
        save_npz(path, smpl_arrays(exports.skeleton, exports.motion))
        return path


def smpl_arrays(skeleton: Skeleton, motion: Motion) -> dict[str, np.ndarray]:
    """The archive's arrays.

    The pelvis of a frame lies at `joints[0] + transl`, as with SMPL.
    """
    frames = len(motion.times)
    poses = Rotation.from_quat(motion.rotations.reshape(-1, 4)).as_rotvec().reshape(frames, -1)
    transl = motion.root - skeleton.joints[0]
    return {
        "global_orient": poses[:, :3],
        "body_pose": poses[:, 3:],
        "transl": transl,
        "poses": poses,
        "trans": transl,
        "times": motion.times,
        "mocap_framerate": np.array(1 / motion.frame_time()),
        "joint_names": np.array(skeleton.names),
        "parents": np.array(skeleton.parents),
        "joints": skeleton.joints,
        "exported_from_world": motion.exported_from_world,
        "about": np.array(AXES),
    }
