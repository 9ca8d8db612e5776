"""Several parts may claim a point: the densest wins."""

import pytest
import torch

from hashhuman.errors import UserError
from hashhuman.field.build import joints_of_parts
from hashhuman.field.hash_field import HashField
from hashhuman.field.parts import PartsField
from tests import toy
from tests.hashhuman import small


class Fixed(HashField):
    """A part of one density and colour; remembers what it was asked."""

    def __init__(self, density: float, grey: float) -> None:
        torch.nn.Module.__init__(self)
        self.density = torch.nn.Parameter(torch.tensor(density))
        self.grey = torch.nn.Parameter(torch.tensor(grey))
        self.asked = None

    def forward(self, pairs):
        """The same everywhere."""
        self.asked = pairs
        return self.grey.expand(len(pairs.x), 3), self.density.expand(len(pairs.x))


def test_the_densest_wins_and_learns_alone():
    parts = {"a": Fixed(1.0, 0.1), "b": Fixed(3.0, 0.2), "c": Fixed(2.0, 0.3)}
    # Of five points, the first lies in a and b, the second in a alone, the third in a, b and c, the fourth in c alone.
    pairs = small.pairs(torch.randn(7, 3), [3, 2, 2], point=torch.tensor([0, 1, 2, 0, 2, 2, 3]))
    color, density = PartsField(parts)(pairs, 5)
    torch.testing.assert_close(density, torch.tensor([3.0, 1.0, 3.0, 2.0, 0.0]))
    torch.testing.assert_close(color, torch.tensor([0.2, 0.1, 0.2, 0.3, 0.0])[:, None].expand(5, 3))
    (density[2] + color[2].sum()).backward()
    assert parts["b"].density.grad == 1 and parts["b"].grey.grad == 3
    for loser in "ac":
        assert parts[loser].density.grad == 0 and parts[loser].grey.grad == 0


def test_each_part_is_asked_about_its_own_pairs():
    parts = {"a": Fixed(1.0, 0.1), "b": Fixed(1.0, 0.1), "c": Fixed(1.0, 0.1)}
    x, time, uv = torch.randn(5, 3), torch.arange(5), torch.rand(5, 2)
    PartsField(parts)(small.pairs(x, [2, 0, 3], time=time, uv=uv, point=torch.tensor([4, 5, 0, 4, 1])), 6)
    assert parts["b"].asked is None
    for name, rows in (("a", slice(0, 2)), ("c", slice(2, 5))):
        asked = parts[name].asked
        assert torch.equal(asked.x, x[rows]) and torch.equal(asked.time, time[rows]) and torch.equal(asked.uv, uv[rows])


def test_points_that_nobody_claims_are_empty():
    color, density = small.field()[0](small.pairs(torch.zeros(0, 3), [0] * 5), 4)
    assert torch.equal(density, torch.zeros(4)) and torch.equal(color, torch.zeros(4, 3))


def test_every_part_has_a_cube_around_its_points():
    field, points = small.field()
    canonical = toy.template().pose_vertices(toy.template().big_pose())
    assert list(field.parts) == list(toy.PARTS)
    for part, mine, expected in zip(field.parts.values(), points, small.part_points()):
        assert torch.equal(mine, expected)
        low, high = canonical[mine].amin(0) - small.REACH, canonical[mine].amax(0) + small.REACH
        torch.testing.assert_close(part.low, low)
        assert (part.low + part.extent >= high - 1e-6).all()
        assert abs(part.extent - float((high - low).max())) < 1e-6
        assert [type(condition).__name__ for condition in part.conditions] == ["Orientation", "FrameCode"]
    codes = {id(part.conditions[1].codes) for part in field.parts.values()}
    assert len(codes) == 5  # each part learns its own


def test_a_parts_own_grid():
    parts = small.PARTS | {"head": {"joints": ["head"], "grid": {"log2_hashmap_size": 6, "finest_voxel": 0.05}}}
    field, _ = small.field(parts=parts)
    sizes = {name: part.encoder.spec.log2_hashmap_size for name, part in field.parts.items()}
    assert sizes == {"body": 8, "leg": 8, "head": 6, "larm": 8, "rarm": 8}
    cell = field.parts["head"].extent / (field.parts["head"].encoder.spec.levels()[-1].scale + 1)
    assert abs(cell - 0.05) < 1e-6


def test_null_takes_what_no_other_part_names():
    joints = joints_of_parts(("a", "b", "c", "d"), {"rest": {"joints": None}, "x": {"joints": ["b", "z"]}})
    assert joints == {"rest": ["a", "c", "d"], "x": ["b", "z"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leg": {"joints": ["left_hip", "head"], "grid": {}}}, r"exactly one part, unlike head \(in 2\)"),
        ({"leg": {"joints": ["left_foot"], "grid": {}}}, r"exactly one part, unlike left_hip \(in 0\)"),
        ({"tail": {"joints": ["tail1"], "grid": {}}}, "none of the joints of the part 'tail'"),
    ],
)
def test_bad_parts(changes, message: str):
    with pytest.raises(UserError, match=message):
        small.field(parts=small.PARTS | changes)
