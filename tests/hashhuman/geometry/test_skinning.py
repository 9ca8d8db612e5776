"""Skinning against scipy, by hand, and its gradients."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.autograd import gradcheck

from hashhuman.body.template import thinned
from hashhuman.geometry import skinning
from tests import toy

trimesh = pytest.importorskip("trimesh")


def test_rodrigues_agrees_with_scipy():
    angles = torch.randn(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double) * 2
    angles[0], angles[1] = 0, torch.tensor([0.0, 1e-5, 0.0])
    expected = Rotation.from_rotvec(angles.numpy()).as_matrix()
    np.testing.assert_allclose(skinning.axis_angle_to_matrix(angles), expected, atol=1e-9)


def test_rodrigues_has_gradients_at_zero():
    for start in (torch.zeros(2, 3), torch.full((2, 3), 3e-5), torch.full((2, 3), 0.7)):
        assert gradcheck(skinning.axis_angle_to_matrix, start.double().requires_grad_())


def test_a_bent_arm_by_hand():
    # Two bones along x, a metre each; the elbow turns 90 degrees about z, so what pointed to +x points to +y.
    joints = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    turns = skinning.axis_angle_to_matrix(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, torch.pi / 2]]))
    bones = skinning.forward_kinematics(turns, joints, [-1, 0])
    points, weights = torch.tensor([[0.5, 0.0, 0.0], [2.0, 0.0, 0.0], [2.0, 0.0, 0.0]]), torch.eye(2)[[0, 1, 1]]
    weights[2] = 0.5
    expected = torch.tensor([[0.5, 0.0, 0.0], [1.0, 1.0, 0.0], [1.5, 0.5, 0.0]])
    torch.testing.assert_close(skinning.skin(points, weights, bones), expected)
    torch.testing.assert_close(skinning.transform(skinning.blend(weights, bones), points), expected)


def test_kinematics_agree_with_a_chain_of_scipys_rotations():
    rng, parents = np.random.default_rng(0), [-1, 0, 1, 1, 3]
    turns, joints = Rotation.from_rotvec(rng.normal(size=(5, 3))), rng.normal(size=(5, 3))
    bones = skinning.forward_kinematics(torch.tensor(turns.as_matrix()), torch.tensor(joints), parents)
    point = rng.normal(size=3)
    for j in range(5):
        expected, joint = point, j
        while joint >= 0:  # each ancestor turns the point about its own rest position
            expected = turns[joint].apply(expected - joints[joint]) + joints[joint]
            joint = parents[joint]
        np.testing.assert_allclose((bones[j].numpy() @ [*point, 1])[:3], expected, atol=1e-12)


def test_inverse():
    matrices = torch.randn(20, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    matrices[:, 3] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    torch.testing.assert_close(skinning.invert_affine(matrices), torch.linalg.inv(matrices))


def test_big_pose_spreads_the_legs(toy_template):
    at_rest, spread = toy_template.vertices, toy_template.pose_vertices(toy_template.big_pose())
    toes = 8 * toy.JOINT_NAMES.index("left_hip") + torch.tensor([0, 1, 4, 5])  # the low corners of the leg
    hip = toy_template.joints[toy.JOINT_NAMES.index("left_hip")]
    turn = torch.tensor(Rotation.from_euler("z", 30, degrees=True).as_matrix()).float()
    torch.testing.assert_close(spread[toes], (at_rest[toes] - hip) @ turn.T + hip)
    assert (spread[toes, 0] > at_rest[toes, 0] + 0.3).all()  # outwards: the person's left is +x
    head = 8 * toy.JOINT_NAMES.index("head") + torch.arange(8)
    torch.testing.assert_close(spread[head], at_rest[head])


def test_thinned_bodies_stay_spread(toy_template):
    assert thinned(toy_template, None) is toy_template and thinned(toy_template, 40) is toy_template
    few = thinned(toy_template, 12)
    assert 3 <= len(few.vertices) <= 12 and len(few.faces) == 0
    assert few.lbs_weights.shape == (len(few.vertices), 5) and few.uv.shape == (len(few.vertices), 2)
    for vertex, weights in zip(few.vertices, few.lbs_weights):
        (index,) = (toy_template.vertices == vertex).all(1).nonzero()[0]
        torch.testing.assert_close(weights, toy_template.lbs_weights[index])
    away = torch.cdist(toy_template.vertices, few.vertices).amin(1)
    assert away.max() < 0.6 * float(toy_template.vertices.amax(0).sub(toy_template.vertices.amin(0)).max())


def test_thinned_bodies_keep_their_normals(toy_template):
    """Compares with trimesh's normals of the faces that thinning removes."""
    mesh = trimesh.Trimesh(toy_template.vertices.double().numpy(), toy_template.faces.numpy(), process=False)
    areas = np.repeat(mesh.area_faces[:, None], 3, 1)
    expected = trimesh.geometry.weighted_vertex_normals(40, mesh.faces, mesh.face_normals, areas)
    np.testing.assert_allclose(toy_template.surface_normals(), expected, atol=1e-6)
    few = thinned(toy_template, 12)
    index = [int((toy_template.vertices == vertex).all(1).nonzero()[0]) for vertex in few.vertices]
    np.testing.assert_allclose(few.surface_normals(), expected[index], atol=1e-6)
    assert thinned(few, 4).surface_normals().shape == (len(thinned(few, 4).vertices), 3)
