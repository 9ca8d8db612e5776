"""Motions of AIST++ (Li et al., ICCV 2021): a pickle for each dance, `motions/NAME.pkl`.

Facts from github.com/google/aistplusplus_api (aist_plusplus/loader.py, processing/run_estimate_smpl.py): `smpl_poses`
are F x 72 axis-angle numbers, 60 rows a second; the male SMPL with all betas zero, times `smpl_scaling` (one number),
plus `smpl_trans` (F x 3), lies in the world of the cameras, which counts in centimetres.
"""

from pathlib import Path

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_pickle
from preprocess.body_fit.source.checks import entry, smpl_pose
from preprocess.body_fit.source.motion import Motion, Source
from preprocess.validate import numeric_array

RATE = 60.0  # rows a second
N_BETAS = 10


class Aist(Source):
    """Reads a motion of AIST++ in SMPL's own size. The camera is found from the keypoints.

    Args:
        offset: seconds that the motion begins before the video; negative if it begins after.
    """

    def __init__(self, offset: float = 0.0):
        self.offset = offset

    def read(self, path: Path, width: int, height: int) -> list[Motion]:
        content = load_pickle(path)
        pose = smpl_pose(entry(content, "smpl_poses", path), path, "smpl_poses")
        scaling = float(numeric_array(entry(content, "smpl_scaling", path), path, "smpl_scaling"))
        if scaling <= 0:
            raise UserError(f"{path}: smpl_scaling must be positive.")
        trans = numeric_array(entry(content, "smpl_trans", path), path, "smpl_trans", len(pose), 3)
        motion = Motion(
            at=np.arange(len(pose)) / RATE - self.offset,
            rotations=pose,
            transl=trans / scaling,
            betas=np.zeros(N_BETAS),
            K=None,
            seconds=True,
        )
        return [motion]
