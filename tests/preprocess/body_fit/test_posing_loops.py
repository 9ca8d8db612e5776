"""Loops pose as PyTorch's operations do, with the same gradients."""

import torch

from hashhuman.geometry import skinning
from preprocess.body_fit import posing_loops
from preprocess.body_fit.posing_loops import SparseWeights

PARENTS = [-1, 0, 1, 0, 3]
FRAMES, JOINTS, POINTS = 7, len(PARENTS), 40


def gradients(value: torch.Tensor, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Of a sum of the values in which no two count the same."""
    return torch.autograd.grad((value * torch.linspace(-1, 2, value.numel()).view(value.shape)).sum(), inputs)


def test_the_skeleton_is_posed_as_by_skinning():
    torch.manual_seed(0)
    rotations = skinning.axis_angle_to_matrix(torch.randn(FRAMES, JOINTS, 3)).requires_grad_()
    joints = torch.randn(JOINTS, 3, requires_grad=True)
    expected = skinning.forward_kinematics(rotations, joints, PARENTS)
    posed = posing_loops.forward_kinematics(rotations, joints, PARENTS)
    torch.testing.assert_close(posed, expected, rtol=1e-4, atol=1e-5)
    for found, right in zip(gradients(posed, (rotations, joints)), gradients(expected, (rotations, joints))):
        torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-4)


def test_vertices_are_skinned_as_by_dense_weights():
    torch.manual_seed(0)
    rotations = skinning.axis_angle_to_matrix(torch.randn(FRAMES, JOINTS, 3))
    transforms = skinning.rigid(rotations, torch.randn(FRAMES, JOINTS, 3)).requires_grad_()
    skin, normals = torch.randn(POINTS, 3, requires_grad=True), torch.randn(POINTS, 3)
    weights = torch.rand(POINTS, JOINTS) * (torch.rand(POINTS, JOINTS) > 0.5)
    weights[:, 2] += 0.1
    vertices, turned = posing_loops.skinned(transforms, skin, normals, SparseWeights.of(weights))
    expected = torch.stack([skinning.skin(skin, weights, frame) for frame in transforms])
    torch.testing.assert_close(vertices, expected, rtol=1e-4, atol=1e-5)
    blended = torch.einsum("mj,fjab->fmab", weights, transforms.detach()[..., :3, :3])
    torch.testing.assert_close(turned, (blended @ normals[..., None])[..., 0], rtol=1e-4, atol=1e-5)
    assert not turned.requires_grad
    for found, right in zip(gradients(vertices, (transforms, skin)), gradients(expected, (transforms, skin))):
        torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-4)


def test_joints_that_move_a_point_are_kept():
    weights = SparseWeights.of(torch.tensor([[0.0, 1, 0], [0.25, 0, 0.75]]))
    assert weights.count.tolist() == [1, 2]
    assert weights.joint[0, 0] == 1 and weights.joint[1].tolist() == [0, 2]
    assert weights.weight.tolist() == [[1, 0], [0.25, 0.75]]
