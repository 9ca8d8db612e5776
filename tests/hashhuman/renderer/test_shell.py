"""The voxels around posed bodies."""

import math

import torch

from hashhuman.renderer.shell import Shell
from tests.hashhuman import small


def test_shell_contains_all_points_within_reach_and_few_others():
    """The surplus of the marked cubes is less than two voxels on each side."""
    vertices, reach, voxel = small.bodies().vertices, 0.06, 0.02
    shell = Shell.around(vertices, reach, voxel)
    generator = torch.Generator().manual_seed(0)
    for frame in range(len(vertices)):
        base = vertices[frame][torch.randint(40, (20000,), generator=generator)]
        points = base + 0.2 * (2 * torch.rand(20000, 3, generator=generator) - 1)
        offset = (points[:, None] - vertices[frame]).abs()
        inside = shell.contains(points[:, None], torch.full((20000,), frame))[:, 0]
        near = offset.norm(dim=-1).amin(1) < reach
        assert inside[near].all()
        beyond = offset.amax(-1).amin(1) > reach + (0.5 * 3**0.5 + 2) * voxel
        assert not inside[beyond].any()
        assert near.sum() > 1000 and beyond.sum() > 1000


def test_shell_by_hand():
    # For one point, reach and half a diagonal are 1.87 voxels. So it lies 2.87 voxels from the corner of the grid, in
    # the third voxel along each axis, and two voxels are marked on either side.
    point = torch.tensor([[[0.3, -0.2, 5.0]]])
    shell = Shell.around(point, 0.1, 0.1)
    torch.testing.assert_close(shell.origin, point[0] - 0.1 * (2 + 3**0.5 / 2))
    assert shell.occupied.shape == (1, 6, 6, 6)
    expected = torch.zeros(6, 6, 6, dtype=torch.bool)
    expected[:5, :5, :5] = True
    assert torch.equal(shell.occupied[0], expected)
    low, high = shell.bounds()
    torch.testing.assert_close(high - low, torch.full((1, 3), 0.6))
    # All voxels with a centre near enough are among them.
    centres = torch.stack(torch.meshgrid(*[torch.arange(6)] * 3, indexing="ij"), -1)
    away = ((centres + 0.5) * 0.1 + shell.origin[0] - point[0, 0]).norm(dim=-1)
    assert shell.occupied[0][away < 0.1 * (1 + 3**0.5 / 2)].all()


def test_frames_have_shells_of_their_own():
    vertices = small.bodies().vertices
    together = Shell.around(vertices, 0.06, 0.05)
    for frame in range(3):
        alone = Shell.around(vertices[frame : frame + 1], 0.06, 0.05)
        centers, _ = alone.centers(alone.marked()[0])
        assert together.contains(centers[:, None], torch.full((len(centers),), frame)).all()
        assert len(centers) == together.occupied[frame].sum()


def test_outside_the_grid_nothing_is_contained():
    """Even if all voxels are marked; points beyond each face are tested."""
    shell = Shell.around(small.bodies().vertices, 0.06, 0.02)
    shell.occupied.fill_(True)
    low, high = shell.origin, shell.origin + 0.02 * torch.tensor(shell.occupied.shape[1:])
    for axis in range(3):
        for way in (0.01, 100.0):
            step = way * torch.eye(3)[axis]
            for inner, outward in ((low + 0.001, -step), (high - 0.001, step)):
                assert shell.contains(inner[:, None], torch.arange(3)).all()
                assert not shell.contains((inner + outward)[:, None], torch.arange(3)).any()


def test_marked_voxels_and_their_centers():
    shell = Shell.around(small.bodies().vertices, 0.06, 0.05)
    position, count = shell.marked()
    centers, frames = shell.centers(position)
    assert count == len(centers) == shell.occupied.sum() and shell.contains(centers[:, None], frames).all()
    places = torch.stack(torch.unravel_index(position, shell.occupied.shape), 1)
    torch.testing.assert_close(places[:, 0], frames)
    torch.testing.assert_close(centers, shell.origin[frames] + 0.05 * (places[:, 1:] + 0.5))
    assert shell.occupied[tuple(places.unbind(1))].all() and len(position.unique()) == len(position)
    shell.occupied.view(-1)[position[7]] = False
    assert not shell.contains(centers[7:8, None], frames[7:8]).any() and len(shell.marked()[0]) == len(centers) - 1


def test_the_diagonal_is_the_longest_path_through_the_grid():
    shell = Shell.around(small.bodies().vertices, 0.06, 0.05)
    low, high = shell.bounds()
    assert ((high - low).norm(dim=1) < shell.diagonal + 1e-4).all()
    assert math.isclose(shell.diagonal, 0.05 * math.dist((0, 0, 0), shell.occupied.shape[1:]))


def test_marks_lie_within_the_bounds_of_each_body():
    vertices, reach, voxel = small.bodies().vertices, 0.06, 0.02
    shell = Shell.around(vertices, reach, voxel)
    assert shell.needed.tolist() == list(shell.occupied.shape[1:])
    for frame, occupied in enumerate(shell.occupied):
        last = occupied.nonzero().amax(0) + 1
        capacity = (shell.end[frame] - shell.origin[frame]) / voxel
        torch.testing.assert_close(capacity, capacity.round())
        assert (last <= capacity + 1e-3).all()


def test_capacity_changes_nothing_but_the_grids_size():
    vertices, reach, voxel = small.bodies().vertices, 0.06, 0.02
    fitting = Shell.around(vertices, reach, voxel)
    x, y, z = fitting.occupied.shape[1:]
    ample = Shell.around(vertices, reach, voxel, (x + 3, y, z + 8))
    assert ample.occupied.shape[1:] == (x + 3, y, z + 8) and torch.equal(ample.needed, fitting.needed)
    assert torch.equal(ample.occupied[:, :x, :, :z], fitting.occupied)
    assert ample.occupied.sum() == fitting.occupied.sum()
    torch.testing.assert_close(ample.end, fitting.end)
    assert Shell.around(vertices, reach, voxel, (x - 3, y, z)).needed.tolist() == [x, y, z]  # reports the needed size


def test_marked_voxels_in_capacity():
    shell = Shell.around(small.bodies().vertices, 0.06, 0.05)
    position, _ = shell.marked()
    n = len(position)
    more, counted = shell.marked(n + 5)
    assert counted == n and torch.equal(more[:n], position) and (more[n:] == 0).all()
    fewer, counted = shell.marked(n - 5)
    assert counted == n and torch.equal(fewer, position[: n - 5])
