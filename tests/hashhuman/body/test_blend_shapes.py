"""Blend shapes by hand."""

import math

import torch

from hashhuman.body import blend_shapes
from hashhuman.geometry import skinning


def test_shapes_add_up_by_hand():
    template = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    shapedirs = torch.zeros(2, 3, 2)
    shapedirs[0, 1, 0], shapedirs[1, 2, 1] = 0.5, -1.0
    shaped = blend_shapes.shaped(template, shapedirs, torch.tensor([[2.0, 3.0], [0.0, 0.0]]))
    torch.testing.assert_close(shaped[0], torch.tensor([[1.0, 3.0, 3.0], [0.0, 0.0, -3.0]]))
    torch.testing.assert_close(shaped[1], template)


def test_features_of_a_quarter_turn_by_hand():
    turns = skinning.axis_angle_to_matrix(torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, math.pi / 2], [0.0, 0.0, 0.0]]))
    features = blend_shapes.pose_features(turns)
    quarter = [-1.0, -1.0, 0.0, 1.0, -1.0, 0.0, 0.0, 0.0, 0.0]  # the root's turn does not count
    torch.testing.assert_close(features, torch.tensor(quarter + 9 * [0.0]), atol=1e-6, rtol=0)


def test_offsets_of_a_quarter_turn_by_hand():
    posedirs = torch.zeros(2, 3, 9)
    posedirs[0, 0, 3] = 0.01  # along x with the matrix' entry (1, 0), which is 1
    posedirs[1, 1, 1] = 0.02  # along y with its entry (0, 1), which is -1
    posedirs[1, 2, 8] = 7.0  # the entry (2, 2) stays 1
    turns = skinning.axis_angle_to_matrix(torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, math.pi / 2]]]))
    offsets = blend_shapes.pose_offsets(posedirs, turns)
    torch.testing.assert_close(offsets, torch.tensor([[[0.01, 0.0, 0.0], [0.0, -0.02, 0.0]]]), atol=1e-6, rtol=0)
