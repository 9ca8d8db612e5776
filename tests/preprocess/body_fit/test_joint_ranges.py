"""Ranges of joints, mirrored for the right side."""

import torch

from preprocess.body_fit.joint_ranges import LIMITS, SPREAD, base_name, joint_ranges, joint_spread


def test_a_name_without_its_side():
    assert [base_name(name) for name in ("left_hip", "right_knee", "spine1")] == ["hip", "knee", "spine1"]


def test_right_joints_have_the_mirrored_range_of_left_ones():
    ranges = joint_ranges(["left_hip", "right_hip"])
    assert ranges.low[0].tolist() == ranges.low[1].tolist() == [low for low, _ in LIMITS["hip"]]
    outward = torch.tensor([[0.0, 0, 70], [0, 0, -70]])  # the right hip's outward is the left one's inward
    assert (outward * ranges.mirror)[:, 2].tolist() == [70, 70]
    assert (outward * ranges.mirror <= ranges.high).all()


def test_other_joints_are_unlimited():
    ranges = joint_ranges(["wing"])
    assert (ranges.low == -180).all() and (ranges.high == 180).all()
    assert torch.equal(joint_spread(["wing", "left_foot"]), torch.tensor([[1.0] * 3, [SPREAD["foot"]] * 3]))


def test_knees_are_hinges_about_x():
    left, right = joint_spread(["left_knee", "right_knee"])
    assert torch.equal(left, right) and left[0] == 1 and (left[1:] < 0.2).all()
