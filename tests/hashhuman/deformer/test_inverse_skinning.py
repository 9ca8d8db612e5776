"""Inverse skinning: points of posed bodies are carried to canonical space."""

import numpy as np
import pytest
import torch

from hashhuman.deformer.cells import Cells
from hashhuman.deformer.inverse_skinning import InverseSkinning, blend
from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.errors import UserError
from hashhuman.geometry import skinning
from hashhuman.gpu.part_rows import padded
from hashhuman.neighbors.base import Pairs
from hashhuman.neighbors.brute import BruteNeighbors
from hashhuman.neighbors.grid import GridNeighbors
from tests import toy
from tests.hashhuman import small

CAP = torch.tensor([4, 5, 6, 7])  # the far corners of a limb along +x, which move only with its joint


def carried(
    points: torch.Tensor,
    frames: torch.Tensor,
    directions: torch.Tensor | None = None,
    index=GridNeighbors,
    skinning: InverseSkinning | None = None,
    **options,
) -> CanonicalPairs:
    """World points through a search and the inverse skinning."""
    bodies = small.bodies()
    query = Points(points, torch.zeros_like(points) if directions is None else directions, frames)
    skinning = skinning or InverseSkinning(small.REACH, small.REACH, 0.01, "torch")
    return skinning(query, bodies, index(bodies.vertices, small.part_points()), **options)


def rows_of(pairs: CanonicalPairs, part: str) -> torch.Tensor:
    """The rows that hold the points of a part."""
    return pairs.rows.mask().nonzero()[:, 0][pairs.part()[pairs.rows.mask()] == list(toy.PARTS).index(part)]


def attached(rest: torch.Tensor, joint: str, frame: int) -> tuple[torch.Tensor, torch.Tensor]:
    """World and canonical positions of points that move rigidly with a joint."""
    template, index = toy.template(), toy.JOINT_NAMES.index(joint)
    posed = template.bone_transforms(toy.pose(frame).body_pose)[index]
    canonical = template.bone_transforms(template.big_pose())[index]
    return skinning.transform(toy.pose(frame).world_from_posed() @ posed, rest), skinning.transform(canonical, rest)


@pytest.mark.parametrize("index", [GridNeighbors, BruteNeighbors])
@pytest.mark.parametrize("frame", [0, 1, 2])
def test_points_on_the_body_return_to_canonical_space(index, frame: int):
    template = toy.template()
    world = toy.world_vertices(template, frame)
    pairs = carried(world, torch.full((40,), frame), index=index)
    canonical, normals = template.pose_vertices(template.big_pose()), small.bodies().canonical_normals
    for part, mine in enumerate(small.part_points()):  # every vertex is found by its part
        rows = pairs.slots[part, mine]
        assert (rows >= 0).all() and torch.equal(pairs.point[rows], mine)
        torch.testing.assert_close(pairs.x[rows], canonical[mine], atol=1e-5, rtol=0)
        torch.testing.assert_close(pairs.normal[rows], normals[mine], atol=1e-5, rtol=0)


def test_rows_and_slots_are_consistent():
    world = toy.world_vertices(toy.template(), 1)
    pairs = carried(world + 0.02, torch.ones(40, dtype=torch.long), uv=toy.template().uv)
    mask, (part, point) = pairs.rows.mask(), (pairs.slots >= 0).nonzero().unbind(1)
    rows = pairs.slots[part, point]
    assert len(rows) == len(rows.unique()) == mask.sum() == pairs.needed.sum() > 40  # some points have several parts
    assert mask[rows].all()
    torch.testing.assert_close(pairs.part()[rows], part)
    torch.testing.assert_close(pairs.point[rows], point)
    torch.testing.assert_close(pairs.rows.used, pairs.needed)
    assert pairs.rows.sizes == tuple(padded(int(count)) for count in pairs.needed)
    for values in (pairs.point, pairs.x, pairs.rotation, pairs.normal, pairs.uv):
        assert (values[~mask] == 0).all()


@pytest.mark.parametrize("frame", [0, 1, 2])
def test_points_near_the_surface_return_to_canonical_space(frame: int):
    """Points off the surface at a limb's end, where all candidates move with one bone."""
    joint = toy.JOINT_NAMES.index("left_shoulder")
    generator = torch.Generator().manual_seed(frame)
    corners = toy.template().vertices[8 * joint + CAP]
    rest = corners[torch.randint(4, (200,), generator=generator)]
    rest = rest + 0.05 * torch.nn.functional.normalize(torch.randn(200, 3, generator=generator), dim=1)
    world, canonical = attached(rest, "left_shoulder", frame)
    pairs = carried(world, torch.full((200,), frame))
    mine = rows_of(pairs, "larm")
    assert len(mine) == 200
    torch.testing.assert_close(pairs.x[mine], canonical[pairs.point[mine]], atol=2e-5, rtol=0)
    assert (pairs.time[mine] == frame).all()


def test_rotation_takes_world_directions_to_canonical_ones():
    """The canonical direction of a ray that is attached to a limb is that of the ray in the canonical pose."""
    joint = 8 * toy.JOINT_NAMES.index("right_shoulder")
    rest = toy.template().vertices[joint + torch.tensor([0, 1, 2, 3])]
    ahead = torch.nn.functional.normalize(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    for frame in range(3):
        start, canonical = attached(rest, "right_shoulder", frame)
        end, canonical_end = attached(rest + ahead, "right_shoulder", frame)
        pairs = carried(start, torch.full((4,), frame), end - start)
        mine = rows_of(pairs, "rarm")
        assert len(mine) == 4
        torch.testing.assert_close(pairs.viewdirs[mine], (canonical_end - canonical)[pairs.point[mine]])
        rotation = pairs.rotation[mine]
        expected = (rotation @ (end - start)[pairs.point[mine], :, None])[..., 0]
        torch.testing.assert_close(pairs.viewdirs[mine], expected)
        torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(4, 3, 3), atol=1e-5, rtol=0)
        torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(4))


def test_reach_and_depth_are_heights_over_the_surface():
    """Along the normal of a limb's corner, by hand: 5 cm outside and 2 cm inside count."""
    vertex = 8 * toy.JOINT_NAMES.index("left_shoulder") + 7
    normal = toy.template().surface_normals()[vertex]
    height = torch.tensor([-0.04, -0.025, -0.015, 0.0, 0.03, 0.045, 0.055])
    rest = toy.template().vertices[vertex] + height[:, None] * normal
    skinning = InverseSkinning(0.05, 0.02, 1e-3, "torch")
    for frame in range(3):
        pairs = carried(attached(rest, "left_shoulder", frame)[0], torch.full((7,), frame), skinning=skinning)
        found = pairs.slots[list(toy.PARTS).index("larm")] >= 0
        assert found.tolist() == [False, False, True, True, True, True, False]


def test_unmarked_cells_are_left_out():
    """With one cell for each part, all pairs of a part are kept or none."""
    cells = Cells.all(5, torch.device("cpu"))
    cells.marked[1:3] = 0
    world, frames = toy.world_vertices(toy.template(), 0), torch.zeros(40, dtype=torch.long)
    some, everything = carried(world, frames, cells=cells), carried(world, frames)
    assert (everything.needed > 0).all() and some.needed[1:3].tolist() == [0, 0]
    torch.testing.assert_close(some.slots[[0, 3, 4]] >= 0, everything.slots[[0, 3, 4]] >= 0)


@pytest.mark.parametrize("index", [GridNeighbors, BruteNeighbors])
def test_captured_steps_need_the_kernels_and_the_grid(index):
    kernels = "torch" if index is GridNeighbors else "triton"
    skinning = InverseSkinning(small.REACH, small.REACH, 0.01, kernels)
    world, frames = toy.world_vertices(toy.template(), 0), torch.zeros(40, dtype=torch.long)
    with pytest.raises(UserError, match=r"step=graph needs Triton's kernels and neighbors=grid: use step=eager"):
        carried(world, frames, index=index, skinning=skinning, capacity=(128,) * 5)


@pytest.mark.parametrize("index", [GridNeighbors, BruteNeighbors])
def test_gradients_pass_through_the_map_and_not_through_the_choice_of_candidates(index):
    """With weights that do not change, x = L R^T (world - t) + c, so that a position's gradient is (L R^T)^T dx."""
    bodies, frames = small.bodies(), torch.full((40,), 2)
    around = 0.03 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    world = (toy.world_vertices(toy.template(), 2) + around).requires_grad_()
    for learned in (bodies.world_from_posed, bodies.canonical_from_posed, bodies.vertices):
        learned.requires_grad_()
    query, neighbors = Points(world, torch.zeros(40, 3), frames), index(bodies.vertices, small.part_points())
    # Smooth enough that several candidates have weight.
    pairs = InverseSkinning(small.REACH, small.REACH, 0.1, "torch")(query, bodies, neighbors, toy.template().uv)
    assert not pairs.normal.requires_grad and not pairs.uv.requires_grad
    used = pairs.rows.mask()
    upstream = torch.randn(pairs.x.shape, generator=torch.Generator().manual_seed(1)) * used[:, None]
    (pairs.x * upstream).sum().backward()
    with torch.no_grad():
        by_row = (pairs.rotation.transpose(1, 2) @ upstream[..., None])[..., 0]
        expected = torch.zeros(40, 3).index_add(0, pairs.point[used], by_row[used])
        moved = -torch.zeros(3, 3).index_add(0, frames, expected)  # translating a body moves points the other way
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(world.grad, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(bodies.world_from_posed.grad[:, :3, 3], moved, atol=1e-4, rtol=1e-5)
    # A constant added to the maps of all points of a frame is added to x, because the weights sum to one.
    added = bodies.canonical_from_posed.grad[..., 3].sum(1)
    torch.testing.assert_close(added, torch.zeros(3, 3).index_add(0, frames[:1], upstream.sum(0, keepdim=True)))
    assert bodies.vertices.grad is None


def some_pairs(distances: torch.Tensor, vertices: torch.Tensor) -> Pairs:
    count = len(distances)
    return Pairs(torch.arange(count), torch.zeros(count, dtype=torch.long), vertices, distances)


def test_weights_against_the_formula():
    distances = torch.tensor([[0.01, 0.02, 0.015], [0.0, 0.05, torch.inf]])
    weights = InverseSkinning(0.06, 0.06, 0.01).weights(some_pairs(distances, torch.zeros(2, 3, dtype=torch.long)))
    unnormalised = np.exp(-((distances.numpy() ** 2) - distances.numpy().min(1, keepdims=True) ** 2) / 0.0002)
    np.testing.assert_allclose(weights, unnormalised / unnormalised.sum(1, keepdims=True), rtol=1e-5)
    assert weights[1, 2] == 0


def test_weights_tend_to_the_nearest_candidate():
    distances = torch.tensor([[0.02, 0.01, 0.015]])
    weights = InverseSkinning(0.06, 0.06, 1e-4).weights(some_pairs(distances, torch.zeros(1, 3, dtype=torch.long)))
    torch.testing.assert_close(weights, torch.tensor([[0.0, 1.0, 0.0]]))


def test_texture_coordinates_do_not_mix_across_seams():
    uv = torch.tensor([[0.10, 0.20], [0.12, 0.22], [0.90, 0.20], [0.11, 0.80]])
    vertices = torch.tensor([[0, 1, 2, 3], [2, 0, 1, 3]])
    weights = torch.tensor([[0.4, 0.2, 0.3, 0.1], [0.4, 0.3, 0.2, 0.1]])
    distances = torch.tensor([[0.01, 0.02, 0.03, 0.04], [0.01, 0.02, 0.03, torch.inf]])
    blended = InverseSkinning.blend_uv(uv, some_pairs(distances, vertices), weights)
    # The first is blended only with its neighbour in the same chart. The second has no neighbour in its chart.
    torch.testing.assert_close(blended, torch.tensor([[(0.10 * 2 + 0.12) / 3, (0.20 * 2 + 0.22) / 3], [0.90, 0.20]]))


def test_far_points_have_no_pair():
    pairs = carried(torch.full((3, 3), 9.0), torch.zeros(3, dtype=torch.long), uv=toy.template().uv)
    assert pairs.needed.tolist() == [0] * 5 and pairs.rows.total == 0
    assert pairs.x.shape == (0, 3) and pairs.uv.shape == (0, 2) and (pairs.slots == -1).all()
    assert carried(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)).slots.shape == (5, 0)


def test_blending_sums_weighted_rows():
    values, rows = torch.arange(24.0).view(4, 2, 3), torch.tensor([[0, 3, 3], [2, 1, 0]])
    weights = torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    expected = torch.stack([(values[0] + values[3]) / 2, values[1]])
    torch.testing.assert_close(blend(values, rows, weights), expected)
    assert blend(values, rows[:0], weights[:0]).shape == (0, 2, 3)
