"""Weights that sum to one, and a rest pose from which skinning shows what the field shows."""

import numpy as np
import torch

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.body.template import BodyPose
from hashhuman.export import skin
from hashhuman.export.surface import Surface
from hashhuman.geometry import skinning
from tests import toy


def test_four_weights_sum_to_one_and_the_largest_stay():
    weights = np.random.default_rng(0).dirichlet(np.full(24, 0.2), 500)
    joints, four = skin.strongest(weights)
    assert joints.shape == four.shape == (500, 4) and four.dtype == np.float32
    assert abs(four.astype(float).sum(1) - 1).max() < 1e-7 and (four >= 0).all()
    assert (joints[:, 0] == weights.argmax(1)).all() and (np.diff(four, axis=1) <= 0).all()
    assert (joints[four == 0] == 0).all()


def test_fewer_joints_than_influences():
    joints, four = skin.strongest(np.array([[0.25, 0.75]]))
    assert joints.tolist() == [[1, 0, 0, 0]] and four.tolist() == [[0.75, 0.25, 0, 0]]


def test_skinning_the_rest_pose_gives_the_canonical_surface_back():
    """Also where legs and torso share a vertex, for which skinning from the canonical pose is wrong."""
    body = toy.template()
    surface = Surface(body.canonical_vertices + 0.01 * body.canonical_normals, body.faces, 1.0)
    carried = skin.carried_over(surface, body, 1, 0.01)
    assert torch.allclose(carried.dense(5), body.lbs_weights, atol=1e-6)  # of the vertex below each
    rest = skin.at_rest(surface.vertices, carried, body)
    back = skinning.skin(rest, carried.dense(5), body.bone_transforms(body.big_pose()))
    assert torch.allclose(back, surface.vertices, atol=1e-5)
    pose = toy.pose(2)
    posed = skinning.skin(rest, carried.dense(5), body.bone_transforms(pose.body_pose))
    bodies = PosedBodies.from_poses(
        body, [BodyPose(pose.body_pose, torch.zeros(3), torch.zeros(3))], torch.tensor([-1])
    )
    maps = bodies.canonical_from_posed[0]  # as the deformer takes them
    canonical = (maps[:, :, :3] @ posed[..., None])[..., 0] + maps[:, :, 3]
    assert torch.allclose(canonical, surface.vertices, atol=1e-5)


def test_weights_change_smoothly_between_body_vertices():
    body = toy.template()
    ends = body.canonical_vertices[[0, 4]]
    along = torch.linspace(0, 1, 101)[:, None]
    line = Surface(ends[0] + along * (ends[1] - ends[0]), body.faces[:1], 1.0)
    dense = skin.carried_over(line, body, 8, 0.1).dense(5)
    assert dense.diff(dim=0).abs().max() < 0.1
