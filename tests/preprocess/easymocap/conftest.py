"""The toy as an SMPL of the user's, a subject that it is to be brought to, and EasyMocap's folders of it."""

import functools
from pathlib import Path

import pytest
import torch

from hashhuman.body.smpl.body import SmplBody
from hashhuman.geometry.camera import Camera
from preprocess.easymocap.output import assumed_intrinsics
from tests import smpl_files
from tests.preprocess.easymocap import folders


@pytest.fixture
def smpl(tmp_path: Path):
    """Makes the body model, as body=smpl does."""
    smpl_files.write_pickle(tmp_path / "models/SMPL_NEUTRAL.pkl", folders.ARRAYS)
    return functools.partial(SmplBody, root=str(tmp_path / "models"), model="SMPL_NEUTRAL.pkl")


@pytest.fixture
def assumed() -> Camera:
    """The camera that EasyMocap assumes of the subject's pictures."""
    K = torch.from_numpy(assumed_intrinsics(folders.HEIGHT, folders.WIDTH)).float()
    return Camera(K, torch.eye(3), torch.zeros(3), folders.HEIGHT, folders.WIDTH)


@pytest.fixture
def subject(tmp_path: Path, assumed: Camera) -> Path:
    return folders.write_pictures(tmp_path / "subject", assumed)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """EasyMocap's folder of the same pictures: two people detected, one fitted."""
    root = folders.write_bodies(tmp_path / "their data")
    for frame in range(folders.FRAMES):
        left, right = folders.body25(frame), folders.body25(frame, 35.0) * [1, 0.6, 1]
        people = [folders.person(left), folders.person(right, 1)]
        shuffled = people if frame % 2 else people[::-1]
        folders.write(root / f"annots/00/{frame:06d}.json", folders.annotation(frame, *shuffled))
    return root
