"""Voxels of posed space linked to cells of canonical space."""

import dataclasses
import functools

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation
from scipy.spatial import cKDTree

from hashhuman.avatar import search_index as module
from hashhuman.avatar.search_index import LinkedIndex, SearchIndex, drop_empty_voxels, link, relink
from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.deformer.cells import Cells
from hashhuman.deformer.inverse_skinning import InverseSkinning
from hashhuman.field.occupancy import CellRows
from hashhuman.gpu.part_rows import PartRows
from hashhuman.neighbors.brute import BruteNeighbors
from hashhuman.neighbors.grid import GridNeighbors
from hashhuman.renderer import shell as shell_module
from hashhuman.renderer.shell import Shell
from tests import toy
from tests.hashhuman import small

REACH, DEPTH, VOXEL, R = 0.08, 0.04, 0.05, 6
DEEPER = 0.08  # DEPTH and half a voxel's diagonal are 0.083, and REACH bounds the search


def some_cells(marked: float = 1.0) -> Cells:
    """Cubes of 3 m around the origin, with a share `marked` of their cells marked."""
    marks = torch.rand(5 * R**3, generator=torch.Generator().manual_seed(3)) < marked
    return Cells(torch.full((5, 3), -1.5), torch.full((5,), 3.0), R, marks.to(torch.uint8), (3.0 / R,) * 5)


SKINNING = InverseSkinning(REACH, DEPTH, 0.01, "torch")


def unlinked(cells: Cells) -> SearchIndex:
    """An index with a single candidate for each pair, so that the result can be computed by hand."""
    bodies = small.bodies()
    neighbors = BruteNeighbors(bodies.vertices, small.part_points(), k=1)
    return SearchIndex(neighbors, Shell.around(bodies.vertices, REACH, VOXEL), cells)


def made(cells: Cells | None = None) -> LinkedIndex:
    return link(unlinked(cells or some_cells()), small.bodies(), SKINNING)


@functools.cache
def links() -> set[tuple[int, int]]:
    """The expected pairs (voxel, cell), by numpy: the nearest point's map carries the voxel's centre."""
    bodies = small.bodies()
    shell = Shell.around(bodies.vertices, REACH, VOXEL)
    found = set()
    for frame, occupied in enumerate(shell.occupied.numpy()):
        voxels = np.argwhere(occupied)
        centers = shell.origin[frame].double().numpy() + (voxels + 0.5) * VOXEL
        number = np.ravel_multi_index((np.full(len(voxels), frame), *voxels.T), shell.occupied.shape)
        for part, mine in enumerate(small.part_points()):
            distance, nearest = cKDTree(bodies.vertices[frame, mine].double().numpy()).query(centers)
            vertex = mine.numpy()[nearest]
            maps = bodies.canonical_from_posed[frame].double().numpy()[vertex]
            x = np.einsum("nij,nj->ni", maps[..., :3], centers) + maps[..., 3]
            up = x - bodies.canonical_vertices.double().numpy()[vertex]
            height = (up * bodies.canonical_normals.double().numpy()[vertex]).sum(1)
            near = (distance < REACH) & (height > -DEEPER) & (height < REACH)
            i, j, k = np.floor((x[near] + 1.5) / (3 / R)).astype(int).T
            found |= set(zip(number[near].tolist(), (((part * R + i) * R + j) * R + k).tolist()))
    return found


def as_set(index: LinkedIndex) -> set[tuple[int, int]]:
    return set(zip(index.voxel.tolist(), index.cell.tolist()))


def held(index: LinkedIndex, marked: torch.Tensor) -> torch.Tensor:
    """The voxels that are linked to a marked cell or to a neighbour of one, by a loop."""
    expected = torch.zeros(index.shell.occupied.numel(), dtype=torch.bool)
    near = around(marked)
    for voxel, cell in links():
        expected[voxel] |= bool(near[cell])
    return expected.view(index.shell.occupied.shape)


def around(marked: torch.Tensor) -> np.ndarray:
    """The marked cells and their neighbours: half a voxel's diagonal is less than a cell's side."""
    cubes = marked.view(5, R, R, R).numpy() > 0
    return np.stack([binary_dilation(cube, np.ones((3, 3, 3))) for cube in cubes]).ravel()


def test_links_against_numpy():
    index = made()
    assert len(links()) > 500 and len({cell for _, cell in links()}) > 20
    assert len(as_set(index) ^ links()) <= 2  # those on a border, where rounding decides


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    whole = as_set(made())
    monkeypatch.setitem(module.CHUNK, "cpu", 1000)
    monkeypatch.setattr(shell_module, "AT_A_TIME", 1500)
    assert as_set(made()) == whole
    kept = made(some_cells(0.4)).shell.occupied
    monkeypatch.setattr(module, "LINKS", 100)
    assert torch.equal(made(some_cells(0.4)).shell.occupied, kept)


def test_linking_unmarks_voxels_of_unmarked_cells():
    index = made(some_cells(0.4))
    expected = held(index, index.cells.marked)
    assert (index.shell.occupied != expected).sum() <= 2
    assert len(as_set(index) ^ links()) <= 2  # the links are kept, so that voxels can be marked again


def test_dropping_empty_voxels_equals_linking(monkeypatch: pytest.MonkeyPatch):
    expected = made(some_cells(0.4)).shell.occupied
    needed = []
    for chunk in (10**6, 1000):
        monkeypatch.setitem(module.CHUNK, "cpu", chunk)
        index = unlinked(some_cells(0.4))
        voxels = int(index.shell.occupied.sum())
        needed.append(drop_empty_voxels(index, small.bodies(), SKINNING))
        assert torch.equal(index.shell.occupied, expected) and needed[-1][0] == voxels > 1000
    assert torch.equal(*needed)
    rows = torch.zeros(5)  # one for each link to a marked cell or a neighbour of one
    near = around(some_cells(0.4).marked)
    for _, cell in links():
        rows[cell // R**3] += bool(near[cell])
    assert (needed[0][1:] - rows).abs().max() <= 1


def test_pruning_follows_the_marks_of_the_cells():
    index = made()
    everything = index.shell.occupied.clone()
    assert (everything != held(index, torch.ones(5 * R**3))).sum() <= 2
    for share in (0.3, 0.0, 0.7, 1.0):
        index.cells.marked.copy_(some_cells(share).marked)
        index.prune()
        assert (index.shell.occupied != held(index, index.cells.marked)).sum() <= 2
        assert index.shell.occupied.any() == (share > 0)
    assert torch.equal(index.shell.occupied, everything)


def test_one_marked_cell_of_several_keeps_a_voxel():
    index = made()
    counts = torch.bincount(index.voxel)
    voxel = int(counts.argmax())
    cells = index.cell[index.voxel == voxel]
    assert len(cells) > 1  # of several parts
    index.cells.marked.zero_()
    index.cells.marked[cells[0]] = 1
    index.prune()
    assert index.shell.occupied.view(-1)[voxel]
    index.cells.marked[cells[0]] = 0
    index.prune()
    assert not index.shell.occupied.any()


def bent(scale: float = 1.0) -> PosedBodies:
    """The bodies, of which the second one has another pose, and `scale` times its size."""
    bodies = small.bodies()
    turned = dataclasses.replace(toy.pose(0), body_pose=0.95 * toy.pose(0).body_pose)
    other = PosedBodies.from_poses(toy.template(), [toy.pose(0), turned, toy.pose(2)], bodies.time)
    return dataclasses.replace(other, vertices=other.vertices * scale)


@pytest.mark.parametrize("chunk", [10**6, 1000])
@pytest.mark.parametrize("search", ["brute", "grid"])
def test_bodies_that_have_moved_are_linked_again(search: str, chunk: int, monkeypatch: pytest.MonkeyPatch):
    """The index of one body that has moved is that of a new index of all; the others' is not touched."""
    monkeypatch.setitem(module.CHUNK, "cpu", chunk)
    monkeypatch.setattr(shell_module, "AT_A_TIME", 7 * chunk)

    def fresh(bodies: PosedBodies) -> SearchIndex:
        kinds = {"brute": functools.partial(BruteNeighbors, k=1), "grid": functools.partial(GridNeighbors, voxel=0.03)}
        vertices = bodies.vertices.clone()
        neighbors = kinds[search](vertices, small.part_points(), spare=0.3)
        return SearchIndex(neighbors, Shell.around(vertices, REACH, VOXEL, spare=0.3), some_cells(0.4))

    index, moved = link(fresh(small.bodies()), small.bodies(), SKINNING), bent()
    before, addresses = as_set(index), [tensor.data_ptr() for tensor in index.tensors()]
    shape = tuple(index.shell.occupied.shape)
    again = relink(index, moved, SKINNING, torch.tensor([1]))
    assert again is not None and [tensor.data_ptr() for tensor in again.tensors()] == addresses
    expected = link(fresh(moved), moved, SKINNING)
    assert tuple(expected.shell.occupied.shape) == shape  # so that the numbers of voxels can be compared
    assert as_set(again) == as_set(expected) != before and len(again.voxel) == len(expected.voxel)
    assert {link for link in before ^ as_set(again) if link[0] // index.shell.voxels != 1} == set()
    for mine, theirs in zip(again.tensors(), expected.tensors(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_bodies_without_room_change_nothing():
    index = made()
    before = [tensor.clone() for tensor in index.tensors()]
    assert relink(index, bent(1.5), SKINNING, torch.tensor([1])) is None
    assert all(torch.equal(tensor, old) for tensor, old in zip(index.tensors(), before, strict=True))


def test_cell_rows_are_all_linked_cells():
    index = made()
    assert isinstance(index.cell_rows, CellRows) and isinstance(index.cell_rows.rows, PartRows)
    found = index.cell_rows.index[index.cell_rows.rows.mask()]
    assert found.tolist() == sorted(set(index.cell.tolist()))
