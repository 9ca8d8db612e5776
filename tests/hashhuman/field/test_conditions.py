"""The conditions of colour."""

import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from hashhuman.deformer.inverse_skinning import InverseSkinning
from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.field.conditions import FrameCode, Orientation, ViewDirection
from hashhuman.neighbors.grid import GridNeighbors
from tests import toy
from tests.hashhuman import small


def seen(time: list[int], direction: torch.Tensor | None = None, **changes) -> CanonicalPairs:
    """Pairs of one part, each with its own posed body."""
    count = len(time)
    directions = torch.zeros(count, 3) if direction is None else direction
    points = Points(torch.zeros(count, 3), directions, torch.arange(count))
    return small.pairs(torch.zeros(count, 3), [count], points=points, frame_time=torch.tensor(time), **changes)


def test_orientation_turns_world_directions_into_canonical_ones():
    """The features turn a world direction into the canonical direction at each turned limb."""
    bodies = small.bodies()
    light = torch.tensor([0.6, 0.0, 0.8])
    vertex = 8 * toy.JOINT_NAMES.index("right_shoulder")
    template = toy.template()
    neighbors = GridNeighbors(bodies.vertices, small.part_points())
    for frame in range(3):
        point = Points(toy.world_vertices(template, frame)[[vertex]], light[None], torch.tensor([frame]))
        pairs = InverseSkinning(small.REACH, small.REACH, 0.001, "torch")(point, bodies, neighbors)
        condition = Orientation(3)
        features = condition(pairs)
        assert features.shape == (len(pairs.x), condition.n_features)
        pose = toy.pose(frame)
        world = Rotation.from_rotvec(pose.orient.numpy()) * Rotation.from_rotvec(pose.body_pose[3].numpy())
        row = pairs.slots[list(toy.PARTS).index("rarm"), 0]
        torch.testing.assert_close(
            features.unflatten(1, (3, 3))[row] @ light, torch.tensor(world.inv().apply(light.numpy())).float()
        )


def test_view_directions_by_hand():
    """The ray points along y; a quarter turn about z carries it to -x."""
    condition = ViewDirection(1, frequencies=2)
    quarter = torch.tensor(Rotation.from_euler("z", 90, degrees=True).as_matrix()).float()
    pairs = seen(
        [0, 0], torch.tensor([[0.5, -1.0, 0.0], [0.0, 1.0, 0.0]]), rotation=torch.stack([torch.eye(3), quarter])
    )
    expected = []
    for x, y, z in ([0.5, -1.0, 0.0], [-1.0, 0.0, 0.0]):
        angles = [x, y, z, 2 * x, 2 * y, 2 * z]
        expected.append([x, y, z, *map(math.sin, angles), *map(math.cos, angles)])
    assert condition.n_features == 15
    torch.testing.assert_close(condition(pairs)[:2], torch.tensor(expected), atol=1e-6, rtol=0)


def test_unseen_poses_get_the_mean_code():
    condition = FrameCode(4, n_features=3)
    codes = condition.codes.weight.detach()
    found = condition(seen([2, -1, 0]))
    torch.testing.assert_close(found[:3], torch.stack([codes[2], codes.mean(0), codes[0]]))
    assert found.shape[1] == condition.n_features


@pytest.mark.parametrize("time", [[2], [-1]])
def test_codes_learn_from_their_own_frame(time: list[int]):
    condition = FrameCode(4, n_features=3)
    condition(seen(time))[0].sum().backward()
    expected = torch.full((4, 3), 0.25) if time == [-1] else torch.eye(4)[2][:, None].expand(4, 3)
    torch.testing.assert_close(condition.codes.weight.grad, expected)
