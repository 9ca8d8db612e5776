"""Cameras see the person: around, from one place, and as filmed."""

import dataclasses

import numpy as np
import pytest
import torch

from hashhuman.animate.camera import Filmed, Fixed, Orbit, front, hips
from hashhuman.body.template import BodyPose
from hashhuman.body.visibility import world_vertices
from hashhuman.errors import UserError
from tests import toy
from tests.hashhuman.fakes import FakeData

UP = torch.tensor([0.0, 1.0, 0.0])
BODY = toy.template()


def walk(frames: int = 9, far: float = 4.0) -> list[BodyPose]:
    """The toy goes along x, facing there."""
    turn = torch.tensor([0.0, np.pi / 2, 0.0])
    return [
        BodyPose(torch.zeros(5, 3), turn, torch.tensor([far * i / max(frames - 1, 1), 0.2, 0.0])) for i in range(frames)
    ]


def inside(camera, pose) -> bool:
    seen = camera.project(world_vertices(BODY, pose))
    return bool(
        (seen[:, 2] > 0).all() and (seen[:, 0] > 0).all() and (seen[:, 0] < camera.width - 1).all()
        and (seen[:, 1] > 0).all() and (seen[:, 1] < camera.height - 1).all()
    )  # fmt: skip


def test_orbit_goes_along_and_around():
    poses = walk(8)
    cameras = Orbit(height=64, turns=1.0, azimuth=0.0)(poses, BODY, UP, None)
    assert len({(camera.height, camera.width) for camera in cameras}) == 1
    for index, (camera, pose) in enumerate(zip(cameras, poses)):
        assert inside(camera, pose)
        toward = camera.center - hips(pose, BODY)
        toward = toward / toward.norm()
        angle = 2 * np.pi * index / 8
        expected = np.cos(angle) * front(pose).numpy() + np.sin(angle) * np.cross(UP, front(pose))
        assert np.dot(toward.numpy(), expected) > 0.97
    still = Orbit(height=64, turns=0.0, azimuth=90.0)(poses, BODY, UP, None)
    assert all(torch.allclose(camera.R, still[0].R) for camera in still)
    assert (still[-1].center - still[0].center).numpy() == pytest.approx([4, 0, 0], abs=1e-4)


def test_a_fixed_camera_sees_the_whole_path():
    poses = walk()
    cameras = Fixed(height=64, azimuth=90.0)(poses, BODY, UP, None)
    assert all(camera is cameras[0] for camera in cameras) and len(cameras) == 9
    assert all(inside(cameras[0], pose) for pose in poses)
    assert cameras[0].width <= 64 * 16 / 9 + 2


def test_the_recording_s_camera(toy_folder):
    data = FakeData(toy_folder)
    data.scale = lambda height, width: 0.5
    cameras = Filmed(height=None, camera=1)(walk(3), BODY, UP, data)
    assert len(cameras) == 3 and cameras[0].height == toy.SIZE // 2
    assert torch.allclose(cameras[0].R, data.subject.camera(1).R)
    assert Filmed(height=96, camera=0)(walk(1), BODY, UP, data)[0].height == 96
    with pytest.raises(UserError, match="camera=7: the recording's cameras are 0 to 1"):
        Filmed(height=None, camera=7)(walk(1), BODY, UP, data)


def test_a_tilted_world_stays_upright_in_the_picture():
    up = torch.tensor([0.0, -1.0, 0.0])  # as in the camera's axes of a single recording
    turned = [dataclasses.replace(pose, orient=torch.tensor([np.pi, 0.0, 0.0])) for pose in walk(3)]
    camera = Orbit(height=64, turns=0.0, azimuth=0.0)(turned, BODY, up, None)[0]
    joints = BODY.joints @ torch.diag(torch.tensor([1.0, -1.0, -1.0])) + turned[0].transl
    rows = camera.project(joints)[:, 1]
    assert rows[1] < rows[0]  # the head is above the pelvis
