"""Posed bodies."""

import dataclasses

import numpy as np
import pytest
import torch

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.body.template import BodyPose
from hashhuman.geometry import skinning
from tests import toy
from tests.hashhuman import small

trimesh = pytest.importorskip("trimesh")


def test_the_map_of_each_point_inverts_its_skinning():
    template, bodies = toy.template(), small.bodies()
    canonical = template.pose_vertices(template.big_pose())
    for frame in range(3):
        maps = bodies.canonical_from_posed[frame]
        torch.testing.assert_close(bodies.vertices[frame], template.pose_vertices(toy.pose(frame).body_pose))
        carried = (maps[..., :3] @ bodies.vertices[frame, :, :, None])[..., 0] + maps[..., 3]
        torch.testing.assert_close(carried, canonical)
    assert bodies.time.tolist() == [0, 1, 2]


def test_world_points_and_directions_in_posed_space():
    bodies, frames = small.bodies(), torch.tensor([0, 1, 2, 2])
    points = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    posed = bodies.to_posed(points, frames)
    for point, mine, frame in zip(points, posed, frames):
        matrix = toy.pose(int(frame)).world_from_posed()
        torch.testing.assert_close(skinning.transform(matrix, mine), point)
    difference = bodies.to_posed(points + 2 * posed, frames) - posed  # directions change as differences of points do
    torch.testing.assert_close(bodies.directions_to_posed(2 * posed, frames), difference)


def test_posed_vertices_are_the_world_vertices_in_posed_space():
    bodies = small.bodies()
    for frame in range(3):
        world = toy.world_vertices(toy.template(), frame)
        posed = bodies.to_posed(world, torch.full((len(world),), frame))
        torch.testing.assert_close(posed, bodies.vertices[frame], atol=1e-6, rtol=0)


def test_frames_are_independent():
    poses = [toy.pose(0), toy.pose(5)]
    both = PosedBodies.from_poses(toy.template(), poses, torch.tensor([4, -1]))
    alone = PosedBodies.from_poses(toy.template(), poses[1:], torch.tensor([-1]))
    torch.testing.assert_close(both.canonical_from_posed[1:], alone.canonical_from_posed)
    torch.testing.assert_close(both.world_from_posed[1:], alone.world_from_posed)
    assert both.time.tolist() == [4, -1]


def test_posed_points_return_to_the_world():
    bodies, frames = small.bodies(), torch.tensor([0, 1, 2, 2])
    points = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(bodies.to_world(bodies.to_posed(points, frames), frames), points)


def test_canonical_normals_are_those_of_the_canonical_mesh():
    """Compares vertices of a single bone; where bones are blended, normals follow the blend."""
    template = toy.template()
    rigid = dataclasses.replace(template, lbs_weights=(template.lbs_weights > 0.5).float())
    bodies = PosedBodies.from_poses(rigid, [toy.pose(1)], torch.tensor([0]))
    mesh = trimesh.Trimesh(bodies.canonical_vertices.double().numpy(), rigid.faces.numpy(), process=False)
    expected = trimesh.geometry.weighted_vertex_normals(
        40, mesh.faces, mesh.face_normals, np.repeat(mesh.area_faces[:, None], 3, 1)
    )
    torch.testing.assert_close(bodies.canonical_normals, torch.from_numpy(expected).float(), atol=1e-5, rtol=0)
    soft = small.bodies()
    torch.testing.assert_close(soft.canonical_normals.norm(dim=1), torch.ones(40))
    centre = soft.canonical_vertices.view(5, 8, 3).mean(1, keepdim=True)  # of each box
    outward = soft.canonical_vertices.view(5, 8, 3) - centre
    assert ((outward * soft.canonical_normals.view(5, 8, 3)).sum(-1) > 0).all()


def test_gradients_in_joint_rotations_orientation_and_translation():
    """Against finite differences in double precision, of a body at rest and another; each input has an effect."""
    template = toy.template()
    floats = {name: getattr(template, name).double() for name in ("vertices", "lbs_weights", "joints", "uv")}
    template = dataclasses.replace(template, **floats)

    def posed(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        poses = [BodyPose(*each) for each in zip(*inputs)]
        bodies = PosedBodies.from_poses(template, poses, torch.arange(2))
        return bodies.world_from_posed, bodies.canonical_from_posed, bodies.vertices

    each = [vars(toy.pose(frame)).values() for frame in (0, 2)]
    inputs = [torch.stack(pair).double().requires_grad_() for pair in zip(*each)]
    assert torch.autograd.gradcheck(posed, inputs, fast_mode=True)
    weights = [torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).double() for x in posed(*inputs)]
    value = sum((x * weight).sum() for x, weight in zip(posed(*inputs), weights))
    for gradient in torch.autograd.grad(value, inputs):
        assert (gradient.abs().amax(-1) > 0.1).all()
