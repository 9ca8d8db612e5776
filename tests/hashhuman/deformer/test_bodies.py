"""Posed bodies and the shells around them."""

import torch

from hashhuman.body import skinning
from hashhuman.deformer.bodies import PosedBodies, Shell
from tests import toy
from tests.hashhuman import small


def test_each_points_map_undoes_its_skinning():
    template, bodies = toy.template(), small.bodies()
    canonical = template.pose_vertices(template.big_pose())
    for frame in range(3):
        maps = bodies.canonical_from_posed[frame]
        torch.testing.assert_close(bodies.vertices[frame], template.pose_vertices(toy.pose(frame).poses))
        carried = (maps[..., :3] @ bodies.vertices[frame, :, :, None])[..., 0] + maps[..., 3]
        torch.testing.assert_close(carried, canonical)
    assert bodies.time.tolist() == [0, 1, 2]


def test_world_and_posed():
    bodies, frames = small.bodies(), torch.tensor([0, 1, 2, 2])
    points = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    posed = bodies.to_posed(points, frames)
    for point, mine, frame in zip(points, posed, frames):
        matrix = toy.pose(int(frame)).world_from_posed()
        torch.testing.assert_close(skinning.transform(matrix, mine), point)
    difference = bodies.to_posed(points + 2 * posed, frames) - posed  # of points is what directions undergo
    torch.testing.assert_close(bodies.directions_to_posed(2 * posed, frames), difference)


def test_posed_vertices_are_the_worlds():
    bodies = small.bodies()
    for frame in range(3):
        world = toy.world_vertices(toy.template(), frame)
        posed = bodies.to_posed(world, torch.full((len(world),), frame))
        torch.testing.assert_close(posed, bodies.vertices[frame], atol=1e-6, rtol=0)


def test_shell_misses_no_point_within_reach_and_little_beyond():
    vertices, reach, voxel = small.bodies().vertices, 0.06, 0.02
    shell = Shell.around(vertices, reach, voxel)
    generator = torch.Generator().manual_seed(0)
    for frame in range(len(vertices)):
        base = vertices[frame][torch.randint(40, (20000,), generator=generator)]
        points = base + 0.13 * (2 * torch.rand(20000, 3, generator=generator) - 1)
        distance = torch.cdist(points, vertices[frame]).amin(1)
        inside = shell.contains(points[:, None], torch.full((20000,), frame))[:, 0]
        assert inside[distance < reach].all()
        assert not inside[distance > reach + 3**0.5 * voxel].any()
        assert (distance < reach).any() and (~inside).any()


def test_shell_by_hand():
    # One point, one voxel of reach: the point lies 1 + (1 + sqrt(3) / 2) voxels from the corner of the grid.
    point = torch.tensor([[[0.3, -0.2, 5.0]]])
    shell = Shell.around(point, 0.1, 0.1)
    edge = 0.1 * (2 + 3**0.5 / 2)
    torch.testing.assert_close(shell.origin, point[0] - edge)
    low, high = shell.bounds()
    assert (low < point[0] - 0.1).all() and (high > point[0] + 0.1).all()
    centres = torch.stack(torch.meshgrid(*[torch.arange(n) for n in shell.occupied.shape[1:]], indexing="ij"), -1)
    away = ((centres + 0.5) * 0.1 + shell.origin[0] - point[0, 0]).norm(dim=-1)
    torch.testing.assert_close(shell.occupied[0], away < 0.1 * (1 + 3**0.5 / 2))


def test_outside_the_grid_nothing_is_contained():
    shell = Shell.around(small.bodies().vertices, 0.06, 0.02)
    low, high = shell.bounds()
    far = torch.stack([low - 0.01, high + 0.01, low - 100, high + 100], 1)
    assert not shell.contains(far, torch.arange(3)).any()


def test_one_frame_knows_nothing_of_another():
    poses = [toy.pose(0), toy.pose(5)]
    both = PosedBodies.from_poses(toy.template(), poses, torch.tensor([4, -1]))
    alone = PosedBodies.from_poses(toy.template(), poses[1:], torch.tensor([-1]))
    torch.testing.assert_close(both.canonical_from_posed[1:], alone.canonical_from_posed)
    torch.testing.assert_close(both.world_from_posed[1:], alone.world_from_posed)
    assert both.time.tolist() == [4, -1]
