"""A run in five lines, as docs/python.md shows it."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import hashhuman
from hashhuman.api import LoadedRun
from hashhuman.body.visibility import world_vertices
from hashhuman.geometry.skinning import axis_angle_to_matrix
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


@pytest.fixture
def run(toy_folder) -> LoadedRun:
    data = SolidData(toy_folder)
    data.scale = lambda height, width: 0.5
    return LoadedRun(FakeAvatar(), data, None)


def test_a_picture_of_a_pose_from_a_camera(run):
    picture = run.render(run.pose(run.frames[1]), toy.camera(0), background=0.5)
    assert picture.shape == (toy.SIZE, toy.SIZE, 3) and picture.dtype == np.uint8
    assert (picture[0, 0] == 128).all() and len(np.unique(picture.reshape(-1, 3), axis=0)) > 3
    assert run.camera(0).height == toy.SIZE // 2
    assert torch.equal(run.pose(2).orient, run.data.subject.pose(2).orient)


def test_a_joint_is_turned_in_its_own_axes(run):
    pose, body = run.pose(run.frames[1]), run.data.subject.template()
    assert run.joints == toy.JOINT_NAMES
    turned = run.turned(pose, {"left_shoulder": (0, 30, 90)})
    row = run.joints.index("left_shoulder")
    before, after = (axis_angle_to_matrix(each.body_pose[row]).double() for each in (pose, turned))
    half, s = 3**0.5 / 2, 0.5  # about y by 30 degrees, then about the turned z by 90: [Ry Rz]
    more = torch.tensor([[half, 0, s], [0, 1, 0], [-s, 0, half]]) @ torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    torch.testing.assert_close(after, before @ more.double(), atol=1e-6, rtol=0)
    others = [joint for joint in range(len(run.joints)) if joint != row]
    assert torch.equal(turned.body_pose[others], pose.body_pose[others]) and torch.equal(turned.orient, pose.orient)
    assert not torch.equal(body.pose_vertices(turned.body_pose), body.pose_vertices(pose.body_pose))


@pytest.mark.parametrize("name", ["left_elbow", "pelvis"])
def test_a_joint_that_cannot_be_turned_is_one_sentence(run, name):
    with pytest.raises(hashhuman.UserError, match=f"no joint '{name}' to turn; it has head, left_shoulder, right_"):
        run.turned(run.pose(run.frames[0]), {name: (0, 0, 1)})


@pytest.mark.parametrize("azimuth", [0, 90, 180])
def test_a_camera_around_the_body_sees_all_of_it_from_there(run, azimuth):
    pose = run.pose(run.frames[0])
    camera = run.around(pose, azimuth, height=100)
    vertices = world_vertices(run.data.subject.template(), pose)
    x, y, depth = camera.project(vertices).T
    assert camera.height == 100 and (depth > 0).all()
    assert x.min() >= 0 and x.max() <= camera.width - 1 and y.min() >= 0 and y.max() <= 99
    toward = axis_angle_to_matrix(pose.orient).T @ (camera.center - vertices.mean(0))  # in the body's axes
    measured = torch.rad2deg(torch.atan2(toward[0], toward[2]))  # from z, the front, to x, the person's left
    assert abs((float(measured) - azimuth + 180) % 360 - 180) < 15


def test_what_is_no_run_is_one_sentence(tmp_path):
    with pytest.raises(hashhuman.UserError, match="not a finished run"):
        hashhuman.load(tmp_path)
