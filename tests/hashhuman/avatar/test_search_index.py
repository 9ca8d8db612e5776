"""Stages: voxels of posed space linked to cells of canonical space."""

import functools

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from hashhuman.avatar import search_index as stage_module
from hashhuman.avatar.search_index import LinkedStage, Stage, leave_out_empty, link
from hashhuman.deformer.cells import Cells
from hashhuman.deformer.inverse_skinning import InverseSkinning
from hashhuman.field.occupancy import CellRows
from hashhuman.gpu.part_rows import PartRows
from hashhuman.neighbors.brute import BruteNeighbors
from hashhuman.renderer import shell as shell_module
from hashhuman.renderer.shell import Shell
from tests.hashhuman import small

REACH, DEPTH, VOXEL, R = 0.08, 0.04, 0.05, 6


def some_cells(marked: float = 1.0) -> Cells:
    """Cubes of 3 m around the origin, with such a share of their cells marked."""
    marks = torch.rand(5 * R**3, generator=torch.Generator().manual_seed(3)) < marked
    return Cells(torch.full((5, 3), -1.5), torch.full((5,), 3.0), R, marks.to(torch.uint8))


SKINNING = InverseSkinning(REACH, DEPTH, 0.01, "torch")


def unlinked(cells: Cells) -> Stage:
    """With a single candidate for each pair, so that it can be done by hand."""
    bodies = small.bodies()
    neighbors = BruteNeighbors(bodies.vertices, small.part_points(), k=1)
    return Stage(bodies, neighbors, Shell.around(bodies.vertices, REACH, VOXEL), None, cells)


def made(cells: Cells | None = None) -> LinkedStage:
    return link(unlinked(cells or some_cells()), SKINNING)


@functools.cache
def links() -> set[tuple[int, int]]:
    """(voxel, cell) of the setting above, by numpy: the nearest point's map carries the voxel's centre."""
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
            near = (distance < max(REACH, DEPTH)) & (height > -DEPTH) & (height < REACH)
            i, j, k = np.floor((x[near] + 1.5) / (3 / R)).astype(int).T
            found |= set(zip(number[near].tolist(), (((part * R + i) * R + j) * R + k).tolist()))
    return found


def as_set(stage: LinkedStage) -> set[tuple[int, int]]:
    return set(zip(stage.voxel.tolist(), stage.cell.tolist()))


def held(stage: LinkedStage, marked: torch.Tensor) -> torch.Tensor:
    """The voxels that a marked cell is linked to, by a loop."""
    expected = torch.zeros(stage.shell.occupied.numel(), dtype=torch.bool)
    for voxel, cell in links():
        expected[voxel] |= bool(marked[cell])
    return expected.view(stage.shell.occupied.shape)


def test_links_lead_to_the_cells_that_voxels_come_from():
    stage = made()
    assert len(links()) > 500 and len({cell for _, cell in links()}) > 20
    assert len(as_set(stage) ^ links()) <= 2  # those on a border, where rounding decides


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    whole = as_set(made())
    monkeypatch.setattr(stage_module, "CHUNK", 1000)
    monkeypatch.setattr(shell_module, "AT_A_TIME", 1500)
    assert as_set(made()) == whole
    kept = made(some_cells(0.4)).shell.occupied
    monkeypatch.setattr(stage_module, "LINKS", 100)
    assert torch.equal(made(some_cells(0.4)).shell.occupied, kept)


def test_voxels_of_unmarked_cells_are_left_out_from_the_start():
    stage = made(some_cells(0.4))
    expected = held(stage, stage.canonical.marked)
    assert (stage.shell.occupied != expected).sum() <= 2
    assert len(as_set(stage) ^ links()) <= 2  # but remembered, so that they can come back


def test_without_links_the_same_is_left_out(monkeypatch: pytest.MonkeyPatch):
    expected = made(some_cells(0.4)).shell.occupied
    needed = []
    for chunk in (10**6, 1000):
        monkeypatch.setattr(stage_module, "CHUNK", chunk)
        stage = unlinked(some_cells(0.4))
        voxels = int(stage.shell.occupied.sum())
        needed.append(leave_out_empty(stage, SKINNING))
        assert torch.equal(stage.shell.occupied, expected) and needed[-1][0] == voxels > 1000
    assert torch.equal(*needed)
    rows = torch.zeros(5)  # one for each link to a marked cell
    for _, cell in links():
        rows[cell // R**3] += some_cells(0.4).marked[cell]
    assert (needed[0][1:] - rows).abs().max() <= 1


def test_voxels_come_and_go_with_their_cells():
    stage = made()
    everything = stage.shell.occupied.clone()
    assert (everything != held(stage, torch.ones(5 * R**3))).sum() <= 2
    for share in (0.3, 0.0, 0.7, 1.0):
        stage.canonical.marked.copy_(some_cells(share).marked)
        stage.prune()
        assert (stage.shell.occupied != held(stage, stage.canonical.marked)).sum() <= 2
        assert stage.shell.occupied.any() == (share > 0)
    assert torch.equal(stage.shell.occupied, everything)


def test_one_marked_cell_of_several_keeps_a_voxel():
    stage = made()
    counts = torch.bincount(stage.voxel)
    voxel = int(counts.argmax())
    cells = stage.cell[stage.voxel == voxel]
    assert len(cells) > 1  # of several parts
    stage.canonical.marked.zero_()
    stage.canonical.marked[cells[0]] = 1
    stage.prune()
    assert stage.shell.occupied.view(-1)[voxel]
    stage.canonical.marked[cells[0]] = 0
    stage.prune()
    assert not stage.shell.occupied.any()


def test_all_cells_that_occur():
    stage = made()
    assert isinstance(stage.cells, CellRows) and isinstance(stage.cells.rows, PartRows)
    found = stage.cells.index[stage.cells.rows.mask()]
    assert found.tolist() == sorted(set(stage.cell.tolist()))
