"""The canonical field of all parts."""

import dataclasses

import pytest
import torch

from hashhuman.errors import UserError
from hashhuman.field.base import CanonicalField
from hashhuman.field.build import joints_of_parts
from hashhuman.field.conditions import Orientation
from hashhuman.field.merge import merge
from hashhuman.field.parts import PartsField, _TruncatedExp
from hashhuman.field.shading import Unshaded
from hashhuman.network.torch_mlp import TorchMLPs
from tests import toy
from tests.hashhuman import small

LOW, EXTENT = torch.tensor([[-1.0, 0.0, -1.0], [0.0, 0.0, 0.0]]), torch.tensor([2.0, 0.5])


def made(conditions=(), density_scale: float = 10.0, trained: bool = False) -> PartsField:
    """A field of two parts."""
    torch.manual_seed(0)
    grids = small.encoder()(extents=EXTENT.tolist(), grids=[{}, {}])
    if trained:
        torch.nn.init.normal_(grids.table)
    return PartsField(
        ["a", "b"], LOW, EXTENT, grids, TorchMLPs, list(conditions), Unshaded(), 16, density_scale, "torch"
    )


def inside(counts: list[int]) -> torch.Tensor:
    """Positions in each part's cube, part by part."""
    generator = torch.Generator().manual_seed(1)
    return torch.cat([low + e * torch.rand(n, 3, generator=generator) for low, e, n in zip(LOW, EXTENT, counts)])


def test_untrained_density_and_colour():
    pairs = small.pairs(inside([60, 40]), [60, 40])
    color, density = made()(pairs)
    assert color.shape == (100, 3) and (color > 0.2).all() and (color < 0.8).all()
    assert (density > 5).all() and (density < 20).all()  # about density_scale everywhere
    torch.testing.assert_close(made(density_scale=0.1)(pairs)[1], density / 100)


def test_each_parts_cube_spans_its_grid_and_ends_there():
    field, asked = made(), []
    field.encoder.register_forward_pre_hook(lambda module, inputs: asked.append(inputs[0]))
    x = torch.tensor([[-1.0, 0.0, -1.0], [1.0, 2.0, 1.0], [0.0, 0.5, -0.5], [9.0, -9.0, 0.0], [0.0, 0.5, 0.25]])
    pairs = small.pairs(x, [4, 1])
    field(pairs)
    expected = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.5, 0.25, 0.25], [1.0, 0.0, 0.5], [0.0, 1.0, 0.5]])
    torch.testing.assert_close(asked[0][pairs.rows.mask()], expected)


def test_density_does_not_depend_on_the_conditions():
    field, x = made([Orientation(1)]), inside([12, 8])
    color, density = field(small.pairs(x, [12, 8]))
    other, same = field(small.pairs(x, [12, 8], rotation=-torch.eye(3).expand(20, 3, 3)))
    torch.testing.assert_close(same, density)
    assert (other - color).abs().max() > 0.01


def test_parts_are_independent():
    """The other part's grid and networks have no effect and get no gradient."""
    field, x = made(trained=True), inside([12, 8])
    color, density = field(small.pairs(x, [12, 8]))
    (color[:12].sum() + density[:12].sum()).backward()
    grids = field.encoder.table.split(field.encoder.n_entries)
    gradients = field.encoder.table.grad.split(field.encoder.n_entries)
    assert (gradients[0] != 0).any() and (gradients[1] == 0).all()
    for network in (field.density_network, field.color_network):
        for parameter in network.parameters():
            assert (parameter.grad[0] != 0).any() and (parameter.grad[1] == 0).all()
    with torch.no_grad():
        grids[1].add_(1)
    after, denser = field(small.pairs(x, [12, 8]))
    torch.testing.assert_close(after[:12], color[:12])
    torch.testing.assert_close(denser[:12], density[:12])
    assert (denser[12:] - density[12:]).abs().max() > 0.01


def test_points_of_several_parts_are_merged():
    """Of five points, one belongs to both parts, and the last to none."""
    field, x = made(trained=True), inside([3, 2])
    pairs = small.pairs(x, [3, 2], point=torch.tensor([0, 1, 2, 1, 3]))
    color, density = field(pairs)
    rows = pairs.rows.mask().nonzero()[:, 0]
    hidden, _ = field.geometry(field.unit(pairs.x, pairs.rows), pairs.rows)
    torch.testing.assert_close(density[[0, 2, 3]], hidden[rows[[0, 2, 4]]])
    assert density[1] == hidden[rows[[1, 3]]].max() and hidden[rows[1]] != hidden[rows[3]]
    unclaimed = torch.cat([pairs.slots, torch.full((2, 1), -1)], 1)
    assert (merge(torch.rand(pairs.rows.total, 3), hidden, unclaimed, "torch")[1][-1] == 0).all()
    assert color.shape == (4, 3)


def test_unused_rows_contribute_no_gradient():
    field = made(trained=True)
    pairs = small.pairs(inside([5, 0]), [5, 0])
    field(pairs)[1].sum().backward()
    expected = {
        name: parameter.grad.clone() for name, parameter in field.named_parameters() if parameter.grad is not None
    }
    field.zero_grad()
    pairs.x[~pairs.rows.mask()] = 0.3
    field(pairs)[1].sum().backward()
    for name, parameter in field.named_parameters():
        torch.testing.assert_close(parameter.grad, expected.get(name))


def test_density_at_positions_in_the_cubes():
    field, x = made(trained=True), inside([7, 4])
    pairs = small.pairs(x, [7, 4])
    unit = field.unit(pairs.x, pairs.rows)
    torch.testing.assert_close(field.density(unit, pairs.rows)[pairs.rows.mask()], field(pairs)[1])


def test_truncated_exponential_limits_its_gradient():
    x = torch.tensor([-20.0, -1.0, 3.0, 12.0, 40.0], requires_grad=True)
    y = _TruncatedExp.apply(x)
    torch.testing.assert_close(y, torch.tensor([-20.0, -1.0, 3.0, 12.0, 15.0]).exp())
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([-15.0, -1.0, 3.0, 10.0, 10.0]).exp())


def test_points_without_a_part_are_empty():
    pairs = small.pairs(torch.zeros(0, 3), [0] * 5)
    slots = torch.full((5, 4), -1)
    color, density = small.field()[0](type(pairs)(**(vars(pairs) | {"slots": slots})))
    assert torch.equal(density, torch.zeros(4)) and torch.equal(color, torch.zeros(4, 3))


def test_every_part_has_a_cube_around_its_points():
    field, points = small.field()
    canonical = toy.template().pose_vertices(toy.template().big_pose())
    assert field.names == list(toy.PARTS) and field.n_parts == 5
    for low, extent, mine, expected in zip(field.low, field.extent, points, small.part_points()):
        assert torch.equal(mine, expected)
        lowest, highest = canonical[mine].amin(0) - small.REACH, canonical[mine].amax(0) + small.REACH
        torch.testing.assert_close(low, lowest)
        torch.testing.assert_close(extent, (highest - lowest).max())
    assert [type(condition).__name__ for condition in field.conditions] == ["Orientation", "FrameCode"]


def test_a_part_may_have_its_own_grid_options():
    parts = small.PARTS | {"head": {"joints": ["head"], "grid": {"log2_hashmap_size": 6, "finest_voxel": 0.05}}}
    field, _ = small.field(parts=parts)
    sizes = {name: spec.log2_hashmap_size for name, spec in zip(field.names, field.encoder.specs)}
    assert sizes == {"body": 8, "leg": 8, "head": 6, "larm": 8, "rarm": 8}
    head = field.names.index("head")
    cell = field.extent[head] / (field.encoder.specs[head].levels()[-1].scale + 1)
    assert abs(cell - 0.05) < 1e-6


def test_null_means_the_joints_that_no_part_names():
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
def test_invalid_parts_are_refused(changes, message: str):
    with pytest.raises(UserError, match=message):
        small.field(parts=small.PARTS | changes)


@torch.no_grad()
def test_colours_of_what_is_seen():
    """Points of one part, of both and of none; the colours are those of `forward` where the weight is not faint."""
    field, x = made([Orientation(1)], trained=True), inside([300, 200])
    point = torch.cat([torch.arange(300), torch.arange(150, 350)])
    pairs = small.pairs(x, [300, 200], point=point)
    pairs = dataclasses.replace(pairs, slots=torch.cat([pairs.slots, torch.full((2, 2), -1)], 1))
    color, density = field(pairs)
    weight = torch.rand(len(density), generator=torch.Generator().manual_seed(3)) * (density > 0)
    asked = []

    def weigh(densities: torch.Tensor) -> torch.Tensor:
        asked.append(densities)
        return weight

    some, same = field.visible(pairs, weigh, 0.4)
    torch.testing.assert_close(same, density)
    torch.testing.assert_close(asked[0], density)
    seen = weight > 0.4
    assert 100 < seen.sum() < 250
    torch.testing.assert_close(some[seen], color[seen])
    assert (some[~seen] == 0).all()
    nothing, _ = field.visible(pairs, lambda densities: 0 * densities, 0.4)
    assert (nothing == 0).all()
    torch.testing.assert_close(CanonicalField.visible(field, pairs, weigh, 0.4), (color, density))
