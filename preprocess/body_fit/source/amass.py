"""Motions in the format of AMASS (Mahmood et al., ICCV 2019): an .npz with poses, trans, betas and a frame rate.

Facts from amass.is.tue.mpg.de and github.com/nghorbani/amass: `poses` are F x 156 axis-angle numbers (SMPL+H; 72 for
SMPL, 165 for SMPL-X), whose first 22 joints are SMPL's; `trans` is SMPL's translation, F x 3 in metres; `betas` are 10
or 16; `mocap_framerate` is `mocap_frame_rate` in the files of SMPL-X. The world's z axis points up. There is no camera.
"""

from pathlib import Path

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_object_npz
from preprocess.body_fit.source.checks import entry, smpl_pose
from preprocess.body_fit.source.motion import Motion, Source
from preprocess.validate import numeric_array

SMPLX = 165  # numbers of a pose of SMPL-X


class Amass(Source):
    """Reads an AMASS-style .npz. The camera is found from the keypoints.

    Args:
        offset: seconds that the motion begins before the video; negative if it begins after.
    """

    def __init__(self, offset: float = 0.0):
        self.offset = offset

    def read(self, path: Path, width: int, height: int) -> list[Motion]:
        content = load_object_npz(path)  # some files hold labels as objects
        pose = smpl_pose(poses := entry(content, "poses", path), path, "poses")
        key = "mocap_frame_rate" if "mocap_frame_rate" in content else "mocap_framerate"
        rate = float(numeric_array(entry(content, key, path), path, key))
        if rate <= 0:
            raise UserError(f"{path}: {key} must be positive.")
        motion = Motion(
            at=np.arange(len(pose)) / rate - self.offset,
            rotations=pose,
            transl=numeric_array(entry(content, "trans", path), path, "trans", len(pose), 3),
            betas=numeric_array(entry(content, "betas", path), path, "betas", None),
            K=None,
            body="smplx" if poses.reshape(len(pose), -1).shape[1] == SMPLX else "smpl",
            seconds=True,
        )
        return [motion]
