"""A finished subject: the filmed toy, masked, with points that lie on its joints."""

from pathlib import Path

import torch
from rich.console import Console

from hashhuman.data.subject import Subject
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.masks.blazepose import BlazePoseMasks
from preprocess.quality import world_joints
from preprocess.skeleton import NAMES
from preprocess.stage import run_stages
from tests import toy
from tests.preprocess.masks.clip import film

NAMED = [name for name in toy.JOINT_NAMES if name in NAMES]


def finished_toy(root: Path, frames: int = 8, absent: tuple[int, ...] = ()) -> Path:
    """Writes pictures, points, bodies and masks of the toy, and returns `root`."""
    film(root, frames=frames, absent=absent)
    reader = Subject(root)
    keypoints, view, body = Keypoints.load(points_path(root)), reader.camera(0), reader.template()
    keypoints.visibility[:] = 0
    keypoints.presence[:] = 1
    for frame in range(frames):
        joints = view.project(torch.from_numpy(world_joints(reader.pose(frame), body))).numpy()
        for name in NAMED:
            keypoints.image_points[frame, NAMES.index(name)] = joints[toy.JOINT_NAMES.index(name), :2]
            keypoints.visibility[frame, NAMES.index(name)] = 1
    keypoints.save(points_path(root))
    run_stages([BlazePoseMasks()], root, console=Console(quiet=True))
    return root
