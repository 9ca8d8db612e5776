"""GVHMR (Shen et al., SIGGRAPH Asia 2024): `hmr4d_results.pt`, written by its demo.

Facts from github.com/zju3dv/GVHMR (tools/demo/demo.py, hmr4d/model/gvhmr/gvhmr_pl_demo.py, hmr4d/utils/geo/hmr_cam.py):
a torch.save of {smpl_params_incam, smpl_params_global: {body_pose F x 63, betas F x 10, global_orient F x 3, transl F x
3, ...}, K_fullimg F x 3 x 3, net_outputs}, with one row per picture of the video, for one person. The body is SMPL-X,
whose first 22 joints are SMPL's. `incam` is in the camera's axes, `global` in a world whose y axis points up.
`K_fullimg` is in pixels of the video with the principal point at (width / 2, height / 2), which gives the video's
width.
"""

from pathlib import Path

import numpy as np

from hashhuman.errors import UserError
from preprocess.body_fit.source.camera import rescaled
from preprocess.body_fit.source.checks import axis_angles, entry, smpl_joints
from preprocess.body_fit.source.motion import Coordinates, Motion, Source, camera_or_world
from preprocess.body_fit.source.tensors import load_torch
from preprocess.validate import numeric_array


class Gvhmr(Source):
    """Reads `hmr4d_results.pt`.

    Args:
        coordinates: `camera`, or `world` for the motion from which GVHMR has removed the camera's; for a static camera.
    """

    def __init__(self, coordinates: Coordinates = "camera"):
        self.coordinates = camera_or_world(coordinates)

    def read(self, path: Path, width: int, height: int) -> list[Motion]:
        content = load_torch(path)
        key = {"camera": "smpl_params_incam", "world": "smpl_params_global"}[self.coordinates]
        params = entry(content, key, path)
        root = axis_angles(entry(params, "global_orient", path), path, "global_orient", None)
        count = len(root)
        body = axis_angles(entry(params, "body_pose", path), path, "body_pose", count)
        K = numeric_array(entry(content, "K_fullimg", path), path, "K_fullimg", count, 3, 3)[0]
        if not (K[[0, 1, 0, 1], [0, 1, 2, 2]] > 0).all():
            raise UserError(f"{path}: K_fullimg is not the matrix of a camera: create the file again.")
        motion = Motion(
            at=np.arange(count, dtype=float),
            rotations=smpl_joints(np.concatenate([root, body], 1), path, "body_pose"),
            transl=numeric_array(entry(params, "transl", path), path, "transl", count, 3),
            betas=numeric_array(entry(params, "betas", path), path, "betas", count, None).mean(0),
            K=None if self.coordinates == "world" else rescaled(K, 2 * K[0, 2], width),
            body="smplx",
        )
        return [motion]
