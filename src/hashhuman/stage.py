"""Posed bodies with everything that finds them: made once, rendered many times."""

import dataclasses
import functools

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.deformer.bodies import PosedBodies
from hashhuman.deformer.cells import Cells
from hashhuman.deformer.inverse_skinning import InverseSkinning
from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.field.occupancy import CellRows
from hashhuman.neighbors.base import NeighborIndex
from hashhuman.renderer.shell import Shell

CHUNK = 1 << 18  # voxels carried to canonical space at a time; bounds the memory


@dataclasses.dataclass(frozen=True)
class Stage:
    """F posed bodies. The shell's voxels are linked to the cells of canonical space that they came from."""

    bodies: PosedBodies
    neighbors: NeighborIndex
    shell: Shell
    uv: Float[Tensor, "V 2"] | None  # None where the deformation does not ask for texture coordinates
    voxel: Int[Tensor, "L"]  # for each link, the position in the flattened `shell.occupied`
    cell: Int[Tensor, "L"]  # and in `canonical`
    canonical: Cells

    @functools.cached_property
    def cells(self) -> CellRows:
        """All cells that occur, arranged by part; only training asks for them."""
        return CellRows(self.cell, self.canonical.resolution**3, self.neighbors.n_parts)

    def prune(self) -> None:
        """Marks just those voxels of the shell that a marked cell is linked to."""
        marked = torch.zeros(self.shell.occupied.numel(), dtype=torch.uint8, device=self.voxel.device)
        marked.scatter_reduce_(0, self.voxel, self.canonical.marked[self.cell], "amax")
        self.shell.occupied.view(-1).copy_(marked)


def set_stage(
    bodies: PosedBodies,
    neighbors: NeighborIndex,
    shell: Shell,
    uv: Float[Tensor, "V 2"] | None,
    skinning: InverseSkinning,
    canonical: Cells,
) -> Stage:
    """Links the shell's voxels to canonical cells and leaves out those linked to no marked one."""
    centers, frames, position = shell.marked()
    links: list[tuple[Tensor, Tensor]] = []
    for first in range(0, max(1, len(centers)), CHUNK):
        some = slice(first, first + CHUNK)
        world = bodies.to_world(centers[some], frames[some])
        points = Points(world, torch.zeros_like(world), frames[some])
        pairs: CanonicalPairs = skinning(points, bodies, neighbors)
        real = pairs.rows.mask()
        index = canonical.index(pairs.x[real], pairs.part()[real])
        links.append((position[some][pairs.point[real]], index))
    voxel, cell = (torch.cat(x) for x in zip(*links))
    stage = Stage(bodies, neighbors, shell, uv, voxel, cell, canonical)
    stage.prune()
    return stage
