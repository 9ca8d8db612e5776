"""Which way is up."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hashhuman.body.standing import upward
from hashhuman.body.template import BodyPose, BodyTemplate
from tests import toy

NAMES = ("pelvis", "left_hip", "right_hip", "left_ankle", "right_ankle", "neck")
PLACES = [[0, 1.0, 0], [0.1, 0.95, 0], [-0.1, 0.95, 0], [0.1, 0.1, 0], [-0.1, 0.1, 0], [0, 1.5, 0]]
CAMERA = Rotation.from_euler("zx", [20, 30], degrees=True)  # how the camera is turned against the ground
BODY = BodyTemplate(
    torch.tensor(PLACES), torch.tensor([[0, 1, 2]]), torch.eye(6), torch.tensor(PLACES), (-1, 0, 0, 1, 2, 0), NAMES
)


def pose(lean: float, bend: float) -> BodyPose:
    """Whole body leaning to a side, and legs against the trunk (degrees), seen by the turned camera."""
    turns = torch.zeros(6, 3)
    turns[1:3, 2] = float(np.radians(bend))
    orient = CAMERA * Rotation.from_euler("z", lean, degrees=True)
    return BodyPose(turns, torch.from_numpy(orient.as_rotvec()).float(), torch.tensor([0.3, -2.0, 4.0]))


def angle(found: torch.Tensor) -> float:
    return float(np.degrees(np.arccos(np.clip(found.double().numpy() @ CAMERA.apply([0, 1, 0]), -1, 1))))


def test_up_is_where_the_person_stands_straight():
    """Of ten poses eight lean with bent hips, to one side; two are straight."""
    poses = [pose(25, 40)] * 4 + [pose(0, 0)] * 2 + [pose(35, 50)] * 4
    assert angle(upward(BODY, poses)) == pytest.approx(0, abs=0.1)
    assert angle(upward(BODY, poses[:1])) > 5  # one pose says no better


def test_a_body_without_these_joints_is_upright_in_the_mean():
    template = toy.template()
    assert "neck" not in template.joint_names
    poses = [
        BodyPose(torch.zeros_like(template.joints), torch.tensor([0.0, 0.0, turn]), torch.zeros(3))
        for turn in (-0.2, 0.6)
    ]
    expected = [-np.sin(0.2), np.cos(0.2), 0]
    np.testing.assert_allclose(upward(template, poses).numpy(), expected, atol=1e-6)
