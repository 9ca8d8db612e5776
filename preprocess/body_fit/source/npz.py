"""A plain format for any other tool: an .npz of F rows in SMPL's conventions, radians and metres.

global_orient  F x 3      rotation of the pelvis, axis-angle, in the camera's axes (x right, y down, z forward)
body_pose      F x 69     rotations of the other joints against their parents, axis-angle; F x 63 without the hands
betas          10, F x 10 shape parameters (any number of them)
transl         F x 3      SMPL's translation
K              3 x 3      intrinsics in pixels, with pixel centres at integers
frames         F          optional: the picture of the video that each row is of, from 0; without it, row by row
size           2          optional: width and height of the pictures that K refers to; without it, the subject's
R, T           3 x 3, 3   optional: camera = R world + T, if global_orient and transl are in the axes of a world
joints         F x 24 x 3 optional: positions of SMPL's joints, in the same axes as transl
"""

from pathlib import Path

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_npz
from preprocess.body_fit.source.checks import axis_angles, entry, matrices, picture_numbers, smpl_joints
from preprocess.body_fit.source.motion import Motion, Source, ordered
from preprocess.validate import numeric_array


class Npz(Source):
    """Reads the plain .npz."""

    def read(self, path: Path, width: int, height: int) -> list[Motion]:
        content = load_npz(path)
        root = axis_angles(entry(content, "global_orient", path), path, "global_orient", None)
        count = len(root)
        body = axis_angles(entry(content, "body_pose", path), path, "body_pose", count)
        K = numeric_array(entry(content, "K", path), path, "K", 3, 3)
        size = numeric_array(content.get("size", np.array([width, height])), path, "size", 2)
        if not (K[[0, 1], [0, 1]] > 0).all() or (size <= 0).any():
            raise UserError(f"{path}: K must hold positive focal lengths, and size must be positive.")
        K[:2, 2] += 0.5
        K = np.diag([*(np.array([width, height]) / size), 1]) @ K
        K[:2, 2] -= 0.5
        transl = numeric_array(entry(content, "transl", path), path, "transl", count, 3)
        given = content.get("joints")
        pose = smpl_joints(np.concatenate([root, body], 1), path, "body_pose")
        joints = None if given is None else numeric_array(given, path, "joints", count, None, 3)[:, : pose.shape[1]]
        if joints is not None and joints.shape[1] < pose.shape[1]:
            raise UserError(
                f"{path}: joints must hold {pose.shape[1]} positions in each row, one for each joint of the pose."
            )
        shape = numeric_array(np.atleast_2d(entry(content, "betas", path)), path, "betas", None, None)
        R = matrices(content.get("R", np.eye(3)), path, "R")
        T = numeric_array(content.get("T", np.zeros(3)), path, "T", 3)
        motion = Motion(
            at=picture_numbers(content.get("frames", np.arange(count)), path, "frames", count),
            rotations=pose,
            transl=transl,
            betas=shape.mean(0),
            K=K,
            camera_from_axes=(R, T),
            joints=joints,
        )
        return [ordered(motion, path)]
