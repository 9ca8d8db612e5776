"""Carrying points back to canonical space."""

import numpy as np
import pytest
import torch

from hashhuman.body import skinning
from hashhuman.deformer.inverse_skinning import InverseSkinning
from hashhuman.neighbors.base import Pairs
from hashhuman.neighbors.brute import BruteNeighbors
from hashhuman.neighbors.grid import GridNeighbors
from tests import toy
from tests.hashhuman import small

CAP = torch.tensor([4, 5, 6, 7])  # of a limb along +x: the far corners, which its joint alone moves


def carried(points, directions, frames, index=GridNeighbors, smoothness=0.01, uv=None):
    """World points through a search and the inverse skinning."""
    bodies = small.bodies()
    neighbors = index(bodies.vertices, small.part_points())
    return InverseSkinning(small.REACH, smoothness)(points, directions, frames, bodies, neighbors, uv)


def attached(rest: torch.Tensor, joint: str, frame: int) -> tuple[torch.Tensor, torch.Tensor]:
    """World and canonical positions of points that move rigidly with a joint."""
    template, index = toy.template(), toy.JOINT_NAMES.index(joint)
    posed = template.bone_transforms(toy.pose(frame).poses)[index]
    canonical = template.bone_transforms(template.big_pose())[index]
    return skinning.transform(toy.pose(frame).world_from_posed() @ posed, rest), skinning.transform(canonical, rest)


@pytest.mark.parametrize("index", [GridNeighbors, BruteNeighbors])
@pytest.mark.parametrize("frame", [0, 1, 2])
def test_points_on_the_body_return_to_canonical_space(index, frame: int):
    template = toy.template()
    world = toy.world_vertices(template, frame)
    pairs = carried(world, torch.zeros_like(world), torch.full((40,), frame), index)
    own = torch.cat([(pairs.point == v) & (pairs.distance < 1e-5) for v in range(40)]).unflatten(0, (40, -1))
    assert own.sum(1).eq(1).all()  # every vertex is found by its part
    canonical = template.pose_vertices(template.big_pose())
    torch.testing.assert_close(pairs.x[own.int().argmax(1)], canonical, atol=1e-5, rtol=0)


@pytest.mark.parametrize("frame", [0, 1, 2])
def test_points_attached_to_the_surface_return_too(frame: int):
    """Around a limb's end, off the surface, where all candidates move with one bone."""
    joint = toy.JOINT_NAMES.index("left_shoulder")
    generator = torch.Generator().manual_seed(frame)
    corners = toy.template().vertices[8 * joint + CAP]
    rest = corners[torch.randint(4, (200,), generator=generator)]
    rest = rest + 0.05 * torch.nn.functional.normalize(torch.randn(200, 3, generator=generator), dim=1)
    world, canonical = attached(rest, "left_shoulder", frame)
    pairs = carried(world, torch.zeros_like(world), torch.full((200,), frame))
    arm = list(toy.PARTS).index("larm")
    first, count = sum(pairs.counts[:arm]), pairs.counts[arm]
    assert count == 200
    mine = slice(first, first + count)
    torch.testing.assert_close(pairs.x[mine], canonical[pairs.point[mine]], atol=2e-5, rtol=0)
    assert (pairs.distance[mine] <= 0.0501).all() and (pairs.time[mine] == frame).all()


def test_rotation_takes_world_directions_to_canonical_ones():
    """A ray that a limb carries along: its direction in canonical space is that of the carried ray."""
    joint = 8 * toy.JOINT_NAMES.index("right_shoulder")
    rest = toy.template().vertices[joint + torch.tensor([0, 1, 2, 3])]
    ahead = torch.nn.functional.normalize(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    for frame in range(3):
        start, canonical = attached(rest, "right_shoulder", frame)
        end, canonical_end = attached(rest + ahead, "right_shoulder", frame)
        pairs = carried(start, end - start, torch.full((4,), frame))
        arm = list(toy.PARTS).index("rarm")
        first = sum(pairs.counts[:arm])
        mine = slice(first, first + pairs.counts[arm])
        torch.testing.assert_close(pairs.viewdirs[mine], (canonical_end - canonical)[pairs.point[mine]])
        rotation = pairs.rotation[mine]
        expected = (rotation @ (end - start)[pairs.point[mine], :, None])[..., 0]
        torch.testing.assert_close(pairs.viewdirs[mine], expected)
        torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(4, 3, 3), atol=1e-5, rtol=0)
        torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(4))


def some_pairs(distances: torch.Tensor, vertices: torch.Tensor) -> Pairs:
    count = len(distances)
    return Pairs(torch.arange(count), torch.zeros(count, dtype=torch.long), vertices, distances, [count])


def test_weights_against_the_formula():
    distances = torch.tensor([[0.01, 0.02, 0.015], [0.0, 0.05, torch.inf]])
    weights = InverseSkinning(0.06, 0.01).weights(some_pairs(distances, torch.zeros(2, 3, dtype=torch.long)))
    unnormalised = np.exp(-((distances.numpy() ** 2) - distances.numpy().min(1, keepdims=True) ** 2) / 0.0002)
    np.testing.assert_allclose(weights, unnormalised / unnormalised.sum(1, keepdims=True), rtol=1e-5)
    assert weights[1, 2] == 0


def test_weights_tend_to_the_nearest():
    distances = torch.tensor([[0.02, 0.01, 0.015]])
    weights = InverseSkinning(0.06, 1e-4).weights(some_pairs(distances, torch.zeros(1, 3, dtype=torch.long)))
    torch.testing.assert_close(weights, torch.tensor([[0.0, 1.0, 0.0]]))


def test_texture_coordinates_do_not_mix_across_seams():
    uv = torch.tensor([[0.10, 0.20], [0.12, 0.22], [0.90, 0.20], [0.11, 0.80]])
    vertices = torch.tensor([[0, 1, 2, 3], [2, 0, 1, 3]])
    weights = torch.tensor([[0.4, 0.2, 0.3, 0.1], [0.4, 0.3, 0.2, 0.1]])
    pairs = some_pairs(torch.rand(2, 4), vertices)
    blended = InverseSkinning.blend_uv(uv, pairs, weights, torch.tensor([0, 0]))
    # The first is blended with its neighbour in the chart alone; the second has no candidate in its chart but itself.
    torch.testing.assert_close(blended, torch.tensor([[(0.10 * 2 + 0.12) / 3, (0.20 * 2 + 0.22) / 3], [0.90, 0.20]]))
    assert InverseSkinning.blend_uv(None, pairs, weights, torch.tensor([0, 0])) is None


def test_far_points_have_no_pair():
    pairs = carried(torch.full((3, 3), 9.0), torch.ones(3, 3), torch.zeros(3, dtype=torch.long), uv=toy.template().uv)
    assert pairs.counts == [0] * 5 and pairs.x.shape == (0, 3) and pairs.uv.shape == (0, 2)
