"""What the colour may depend on."""

import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from hashhuman.deformer.inverse_skinning import InverseSkinning
from hashhuman.field.conditions import FrameCode, Orientation, ViewDirection
from hashhuman.neighbors.grid import GridNeighbors
from tests import toy
from tests.hashhuman import small


def test_orientation_tells_how_the_body_stands_to_a_light_in_the_world():
    """From its features one reads where a world direction points in canonical space, at each turned limb."""
    bodies = small.bodies()
    light = torch.tensor([0.6, 0.0, 0.8])
    vertex = 8 * toy.JOINT_NAMES.index("right_shoulder")
    template = toy.template()
    for frame in range(3):
        point = toy.world_vertices(template, frame)[[vertex]]
        pairs = InverseSkinning(small.REACH, 0.001)(
            point, light[None], torch.tensor([frame]), bodies, GridNeighbors(bodies.vertices, small.part_points()), None
        )
        condition = Orientation(3)
        features = condition(pairs)
        assert features.shape == (1, condition.n_features)
        pose = toy.pose(frame)
        world = Rotation.from_rotvec(pose.Rh.numpy()) * Rotation.from_rotvec(pose.poses[3].numpy())
        torch.testing.assert_close(
            features.unflatten(1, (3, 3))[0] @ light, torch.tensor(world.inv().apply(light.numpy())).float()
        )


def test_view_directions_by_hand():
    condition = ViewDirection(1, frequencies=2)
    pairs = small.pairs(torch.zeros(1, 3), [1], viewdirs=torch.tensor([[0.5, -1.0, 0.0]]))
    angles = [0.5, -1.0, 0.0, 1.0, -2.0, 0.0]
    expected = [0.5, -1.0, 0.0, *map(math.sin, angles), *map(math.cos, angles)]
    assert condition.n_features == 15
    torch.testing.assert_close(condition(pairs), torch.tensor([expected]))


def test_unseen_poses_get_the_mean_code():
    condition = FrameCode(4, n_features=3)
    codes = condition.codes.weight.detach()
    found = condition(small.pairs(torch.zeros(3, 3), [3], time=torch.tensor([2, -1, 0])))
    torch.testing.assert_close(found, torch.stack([codes[2], codes.mean(0), codes[0]]))
    assert found.shape[1] == condition.n_features


@pytest.mark.parametrize("time", [[2], [-1]])
def test_codes_learn_from_their_own_frame(time: list[int]):
    condition = FrameCode(4, n_features=3)
    condition(small.pairs(torch.zeros(1, 3), [1], time=torch.tensor(time))).sum().backward()
    expected = torch.full((4, 3), 0.25) if time == [-1] else torch.eye(4)[2][:, None].expand(4, 3)
    torch.testing.assert_close(condition.codes.weight.grad, expected)
