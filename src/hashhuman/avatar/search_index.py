"""Posed bodies with everything that finds them: made once, rendered many times."""

import dataclasses
import functools
from collections.abc import Iterable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.deformer.cells import Cells
from hashhuman.deformer.inverse_skinning import InverseSkinning
from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.field.occupancy import CellRows
from hashhuman.gpu.capacity import IndexCapacity
from hashhuman.neighbors.base import NeighborIndex
from hashhuman.renderer.shell import Shell

CHUNK = 1 << 18  # voxels carried to canonical space at a time; bounds the memory
LINKS = 1 << 24  # links followed at a time, likewise


@dataclasses.dataclass(frozen=True)
class Stage:
    """F posed bodies."""

    bodies: PosedBodies
    neighbors: NeighborIndex
    shell: Shell
    uv: Float[Tensor, "V 2"] | None  # None where the deformation does not ask for texture coordinates
    canonical: Cells


@dataclasses.dataclass(frozen=True)
class LinkedStage(Stage):
    """A stage for training: the shell's voxels are linked to the cells of canonical space that they came from."""

    voxel: Int[Tensor, "L"]  # for each link, the position in the flattened `shell.occupied`
    cell: Int[Tensor, "L"]  # and in `canonical`

    @functools.cached_property
    def cells(self) -> CellRows:
        """All cells that occur, arranged by part."""
        return CellRows(self.cell, self.canonical.resolution**3, self.neighbors.n_parts)

    def prune(self) -> None:
        """Marks just those voxels of the shell that a marked cell is linked to."""
        links = zip(self.voxel.split(LINKS), self.cell.split(LINKS))
        _mark(self.shell, ((voxel.long(), self.canonical.marked[cell]) for voxel, cell in links))


def link(stage: Stage, skinning: InverseSkinning) -> LinkedStage:
    """Links the shell's voxels to canonical cells, and leaves out those linked to no marked one."""
    # Half of what long integers would take: of a thousand frames, there are tens of millions of links.
    small = torch.int32 if max(stage.shell.occupied.numel(), len(stage.canonical.marked)) < 1 << 31 else torch.int64
    links: list[tuple[Tensor, Tensor]] = []
    for position in stage.shell.marked_in_turn(CHUNK):
        pairs = _carried(stage, skinning, position)
        real = pairs.rows.mask()
        cell = stage.canonical.index(pairs.x[real], pairs.part()[real])
        links.append((position[pairs.point[real]].to(small), cell.to(small)))
    voxel, cell = (torch.cat(x) for x in zip(*links))
    values = {field.name: getattr(stage, field.name) for field in dataclasses.fields(stage)}
    linked = LinkedStage(**values, voxel=voxel, cell=cell)
    linked.prune()
    return linked


def leave_out_empty(
    stage: Stage, skinning: InverseSkinning, capacity: IndexCapacity | None = None
) -> Int[Tensor, "needed"]:
    """Marks just those voxels of the shell whose centre some part carries to a marked cell.

    Args:
        capacity: None for as much as need be, for which the host waits.

    Returns:
        What its `voxels` and `rows` would have had to be.
    """
    position, count = stage.shell.marked(None if capacity is None else capacity.voxels)
    used, rows = (None, None) if capacity is None else (count, capacity.rows)
    reached, needed = [], torch.zeros(stage.neighbors.n_parts, dtype=torch.int32, device=position.device)
    for some in position.split(CHUNK if capacity is None else capacity.voxels):
        pairs = _carried(stage, skinning, some, stage.canonical, used, rows)
        reached.append((pairs.slots >= 0).any(0))
        needed = needed + pairs.needed
    _mark(stage.shell, [(position, torch.cat(reached).to(torch.uint8))])
    return torch.cat([count, needed])


def _carried(
    stage: Stage,
    skinning: InverseSkinning,
    position: Int[Tensor, "Q"],
    cells: Cells | None = None,
    used: Int[Tensor, "1"] | None = None,
    rows: tuple[int, ...] | None = None,
) -> CanonicalPairs:
    """The centres of voxels in canonical space."""
    centers, frames = stage.shell.centers(position)
    world = stage.bodies.to_world(centers, frames)
    points = Points(world, torch.zeros_like(world), frames, used)
    return skinning(points, stage.bodies, stage.neighbors, None, cells, rows)


def _mark(shell: Shell, values: Iterable[tuple[Int[Tensor, "Q"], UInt8[Tensor, "Q"]]]) -> None:
    """Marks the voxels at those positions of which one has the value 1, and no others."""
    marked = torch.zeros(shell.occupied.numel(), dtype=torch.uint8, device=shell.occupied.device)
    for position, value in values:
        marked.scatter_reduce_(0, position, value, "amax")
    shell.occupied.view(-1).copy_(marked)
