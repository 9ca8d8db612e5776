"""The search index of posed bodies: which voxels around them are sampled, and which body points are near a sample.

An index has no gradients. It may be some optimizer steps older than the bodies. `SearchIndex.replace` updates it in
place, so that a CUDA graph that holds its addresses stays valid.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator

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

CHUNK = {"cpu": 1 << 18, "cuda": 1 << 20}  # voxels carried to canonical space at a time; bounds the memory
LINKS = 1 << 24  # links processed at a time; bounds the memory


@dataclasses.dataclass(frozen=True)
class SearchIndex:
    """The search index of F posed bodies."""

    neighbors: NeighborIndex
    shell: Shell  # voxels of posed space that are sampled
    cells: Cells  # of canonical space; unmarked ones are known to be empty

    def tensors(self) -> Iterator[Tensor]:
        """Everything that depends on the poses, in a fixed order."""
        yield from self.neighbors.tensors()
        yield from (self.shell.origin, self.shell.end, self.shell.occupied)

    def replace(self, frames: Int[Tensor, "K"], vertices: Float[Tensor, "K V 3"], reach: float) -> bool:
        """Makes the index of some bodies again, in place. The host waits for the device.

        Args:
            frames: which bodies.
            vertices: their points (m, posed space).
            reach: how far from them there may be anything (m).

        Returns:
            Whether there was room for these bodies; otherwise nothing has changed.
        """
        x, y, z = self.shell.occupied.shape[1:]
        shell = Shell.around(vertices, reach, self.shell.voxel, (x, y, z))
        if not (shell.needed <= shell.needed.new_tensor((x, y, z))).all() & self.neighbors.has_room(vertices):
            return False
        self.neighbors.replace(frames, vertices)
        self.shell.replace(frames, shell)
        return True


@dataclasses.dataclass(frozen=True)
class LinkedIndex(SearchIndex):
    """An index for training: each voxel of the shell is linked to the canonical cells that its centre is carried to.

    Training learns which cells are empty. The links then tell which voxels need no samples, without new skinning.
    """

    voxel: Int[Tensor, "L"]  # for each link, the position in the flattened `shell.occupied`
    cell: Int[Tensor, "L"]  # for each link, the position in `cells.marked`

    @functools.cached_property
    def cell_rows(self) -> CellRows:
        """All linked cells, without repetition, arranged by part."""
        return CellRows(self.cell, self.cells.resolution**3, self.neighbors.n_parts)

    def prune(self) -> None:
        """Marks exactly the voxels of the shell that may touch a marked cell, by their links."""
        marked = self.cells.around(self.shell.radius).marked
        links = zip(self.voxel.split(LINKS), self.cell.split(LINKS))
        _mark(self.shell, ((voxel.long(), marked[cell]) for voxel, cell in links))


def link(index: SearchIndex, bodies: PosedBodies, skinning: InverseSkinning) -> LinkedIndex:
    """Links the shell's voxels to canonical cells, and unmarks voxels that cannot touch a marked cell.

    Only a voxel's centre is carried to canonical space, and the surface may cross its corner. So deeper centres count,
    too, and cells around marked ones. Otherwise rectangles would be missing in the surface.
    """
    frames = torch.arange(len(index.shell.occupied), device=index.shell.origin.device)
    linked = LinkedIndex(index.neighbors, index.shell, index.cells, *_links(index, bodies, skinning, frames))
    linked.prune()
    return linked


def relink(
    index: LinkedIndex, bodies: PosedBodies, skinning: InverseSkinning, frames: Int[Tensor, "K"]
) -> LinkedIndex | None:
    """The index after some bodies have moved, in the same memory. The host waits for the device.

    Args:
        index: the index, which is changed.
        bodies: all bodies, in their present poses.
        skinning: as for `link`.
        frames: which of them have moved.

    Returns:
        What `link` returns for these bodies. None if the memory does not suffice; then nothing has changed.
    """
    if not index.replace(frames, bodies.vertices[frames].detach(), skinning.reach):
        return None
    has_moved = torch.zeros(len(bodies.vertices), dtype=torch.bool, device=frames.device)
    has_moved[frames] = True
    stays = ~has_moved[index.voxel // index.shell.voxels]
    voxel, cell = _links(index, bodies, skinning, frames)
    linked = LinkedIndex(
        index.neighbors,
        index.shell,
        index.cells,
        torch.cat([index.voxel[stays], voxel]),
        torch.cat([index.cell[stays], cell]),
    )
    linked.prune()
    return linked


def _links(
    index: SearchIndex, bodies: PosedBodies, skinning: InverseSkinning, frames: Int[Tensor, "K"]
) -> tuple[Int[Tensor, "L"], Int[Tensor, "L"]]:
    """`LinkedIndex.voxel` and `LinkedIndex.cell` of the marked voxels of some frames."""
    # 32 bits where they suffice: a thousand frames have tens of millions of links.
    small = torch.int32 if max(index.shell.occupied.numel(), len(index.cells.marked)) < 1 << 31 else torch.int64
    skinning = skinning.deeper(index.shell.radius)
    links = [(frames[:0].to(small), frames[:0].to(small))]
    for position in index.shell.marked_in_turn(frames, CHUNK[frames.device.type]):
        pairs = _carried(index, bodies, skinning, position)
        used = pairs.rows.mask()
        cell = index.cells.index(pairs.x[used], pairs.part()[used])
        links.append((position[pairs.point[used]].to(small), cell.to(small)))
    voxel, cell = (torch.cat(x) for x in zip(*links))
    return voxel, cell


def drop_empty_voxels(
    index: SearchIndex, bodies: PosedBodies, skinning: InverseSkinning, capacity: IndexCapacity | None = None
) -> Int[Tensor, "sizes"]:
    """Marks exactly the voxels of the shell that may touch a marked cell; see `link`.

    Args:
        capacity: fixed sizes; None: as large as needed, for which the host waits for the device.

    Returns:
        The needed sizes: `voxels`, then `rows` of the capacity.
    """
    position, count = index.shell.marked(None if capacity is None else capacity.voxels)
    used, rows = (None, None) if capacity is None else (count, capacity.rows)
    skinning, cells = skinning.deeper(index.shell.radius), index.cells.around(index.shell.radius)
    reached, needed = [], torch.zeros(index.neighbors.n_parts, dtype=torch.int32, device=position.device)
    for some in position.split(CHUNK[position.device.type] if capacity is None else capacity.voxels):
        pairs = _carried(index, bodies, skinning, some, cells, used, rows)
        reached.append((pairs.slots >= 0).any(0))
        needed = needed + pairs.needed
    _mark(index.shell, [(position, torch.cat(reached).to(torch.uint8))])
    return torch.cat([count, needed])


def _carried(
    index: SearchIndex,
    bodies: PosedBodies,
    skinning: InverseSkinning,
    position: Int[Tensor, "Q"],
    cells: Cells | None = None,
    used: Int[Tensor, "1"] | None = None,
    rows: tuple[int, ...] | None = None,
) -> CanonicalPairs:
    """The centres of voxels in canonical space."""
    centers, frames = index.shell.centers(position)
    world = bodies.to_world(centers, frames)
    points = Points(world, torch.zeros_like(world), frames, used)
    return skinning(points, bodies, index.neighbors, None, cells, rows)


def _mark(shell: Shell, values: Iterable[tuple[Int[Tensor, "Q"], UInt8[Tensor, "Q"]]]) -> None:
    """Marks exactly the voxels that have a value of 1 at one of their positions."""
    marked = torch.zeros(shell.occupied.numel(), dtype=torch.uint8, device=shell.occupied.device)
    for position, value in values:
        marked.scatter_reduce_(0, position, value, "amax")
    shell.occupied.view(-1).copy_(marked)
