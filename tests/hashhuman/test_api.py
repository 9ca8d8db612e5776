"""A run in five lines, as docs/export.md shows it."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import hashhuman
from hashhuman.api import LoadedRun
from tests import toy
from tests.hashhuman.export.solid import SolidData
from tests.hashhuman.fakes import FakeAvatar


def test_the_stable_names_are_there():
    assert dir(hashhuman) == ["BodyPose", "Camera", "LoadedRun", "UserError", "load"]
    assert all(getattr(hashhuman, name).__name__ == name for name in dir(hashhuman))
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        hashhuman.lode  # noqa: B018


def test_importing_it_imports_nothing_heavy():
    code = "import sys, hashhuman; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_picture_of_a_pose_from_a_camera(toy_folder):
    data = SolidData(toy_folder)
    data.scale = lambda height, width: 0.5
    run = LoadedRun(FakeAvatar(), data, None)
    picture = run.render(run.pose(run.frames[1]), toy.camera(0), background=0.5)
    assert picture.shape == (toy.SIZE, toy.SIZE, 3) and picture.dtype == np.uint8
    assert (picture[0, 0] == 128).all() and len(np.unique(picture.reshape(-1, 3), axis=0)) > 3
    assert run.camera(0).height == toy.SIZE // 2
    assert torch.equal(run.pose(2).orient, data.subject.pose(2).orient)


def test_what_is_no_run_is_one_sentence(tmp_path):
    with pytest.raises(hashhuman.UserError, match="not a finished run"):
        hashhuman.load(tmp_path)
