"""The shell: the voxels around posed bodies in which samples may lie."""

import dataclasses
import math
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.geometry.voxels import dilated

AT_A_TIME = 1 << 24  # voxels processed at a time; bounds the memory


@dataclasses.dataclass(frozen=True)
class Shell:
    """Marked voxels of posed space, one grid for each posed body."""

    origin: Float[Tensor, "F 3"]  # lowest corner of the first voxel, posed space (m)
    end: Float[Tensor, "F 3"]  # highest corner; nothing is marked beyond it (m)
    voxel: float  # side of a voxel (m)
    occupied: Bool[Tensor, "F X Y Z"]  # the marks
    needed: Int[Tensor, "3"]  # the least X, Y and Z that cover every body

    @classmethod
    def around(
        cls,
        vertices: Float[Tensor, "F V 3"],
        reach: float,
        voxel: float,
        capacity: tuple[int, int, int] | None = None,
        spare: float = 0.0,
    ) -> "Shell":
        """Marks at least the voxels whose centre lies within `reach` plus half a voxel's diagonal of a body point.

        A cube is marked around each point instead of a ball, since this takes only one pass along each axis. So the
        result is a superset; `drop_empty_voxels` removes the surplus.

        Args:
            vertices: body points (m, posed space).
            reach: metres.
            voxel: side of a voxel (m).
            capacity: X, Y and Z of the grids; None: as large as needed, for which the host waits for the device.
            spare: metres along each axis by which bodies may become larger before `replace` finds no room.
        """
        radius = reach + 0.5 * 3**0.5 * voxel
        origin = vertices.amin(1) - radius - voxel
        sizes = ((vertices.amax(1) + radius + voxel - origin) / voxel).ceil()
        needed = sizes.amax(0).long()
        shape = capacity or tuple(size + math.ceil(spare / voxel) for size in needed.tolist())
        steps = math.ceil(radius / voxel)
        some = max(1, AT_A_TIME // math.prod(shape))
        cells = ((vertices - origin[:, None]) / voxel).long()
        occupied = torch.cat([_near(part, shape, steps) for part in cells.split(some)])
        return cls(origin, origin + sizes * voxel, voxel, occupied, needed)

    def replace(self, frames: Int[Tensor, "K"], other: "Shell") -> None:
        """Takes the voxels of some bodies from a shell of the same capacity, in place."""
        for mine, theirs in ((self.origin, other.origin), (self.end, other.end), (self.occupied, other.occupied)):
            mine[frames] = theirs

    @property
    def diagonal(self) -> float:
        """Length of a grid's diagonal, the longest path through it (m)."""
        return self.voxel * math.hypot(*self.occupied.shape[1:])

    @property
    def voxels(self) -> int:
        """Number of voxels of a frame's grid."""
        return math.prod(self.occupied.shape[1:])

    @property
    def radius(self) -> float:
        """The distance from a voxel's centre to its corners (m)."""
        return 0.5 * 3**0.5 * self.voxel

    def bounds(self) -> tuple[Float[Tensor, "F 3"], Float[Tensor, "F 3"]]:
        """Corners of each frame's grid in posed space (m)."""
        return self.origin, self.end

    def contains(self, points: Float[Tensor, "N S 3"], frames: Int[Tensor, "N"]) -> Bool[Tensor, "N S"]:
        """Whether posed-space points lie in marked voxels of their frames."""
        cells = ((points - self.origin[frames, None]) / self.voxel).floor().long()
        inside = (cells >= 0).all(-1)
        for axis, size in enumerate(self.occupied.shape[1:]):
            inside = inside & (cells[..., axis] < size)
        x, y, z = torch.where(inside[..., None], cells, 0).unbind(-1)
        return inside & self.occupied[frames[:, None], x, y, z]

    def marked(self, capacity: int | None = None) -> tuple[Int[Tensor, "Q"], Int[Tensor, "1"]]:
        """Positions of the marked voxels in the flattened grids, and their number.

        Args:
            capacity: how many positions to return, padded with zeros; None: all, for which the host waits for the
                device.
        """
        flat = self.occupied.view(-1)
        if capacity is None:
            position = flat.nonzero()[:, 0]
            return position, torch.full((1,), len(position), device=flat.device)
        rank = flat.cumsum(0)
        place = torch.where(flat & (rank <= capacity), rank - 1, capacity)
        position = torch.zeros(capacity + 1, dtype=torch.long, device=flat.device)
        position.scatter_(0, place, torch.arange(len(flat), device=flat.device))
        return position[:capacity], rank[-1:]

    def marked_in_turn(self, frames: Int[Tensor, "K"], most: int) -> Iterator[Int[Tensor, "Q"]]:
        """Yields the positions that `marked` returns for some frames, at most `most` at a time: bounds the memory."""
        size = self.voxels
        for some in frames.split(max(1, AT_A_TIME // size)):
            position = self.occupied[some].flatten().nonzero()[:, 0]
            yield from (some[position // size] * size + position % size).split(most)

    def centers(self, position: Int[Tensor, "Q"]) -> tuple[Float[Tensor, "Q 3"], Int[Tensor, "Q"]]:
        """Centres (m, posed space) and frames of voxels, from their positions in the flattened grids."""
        _, *sizes = self.occupied.shape
        axes = []
        for size in reversed(sizes):
            axes.append(position % size)
            position = position // size
        return self.origin[position] + (torch.stack(axes[::-1], 1) + 0.5) * self.voxel, position


def _near(cells: Int[Tensor, "F V 3"], shape: tuple[int, ...], steps: int) -> Bool[Tensor, "F X Y Z"]:
    """Marks the voxels that are at most `steps` away from one of the cells along each axis."""
    n_frames = len(cells)
    x, y, z = (cells[..., axis].clamp_max(size - 1) for axis, size in enumerate(shape))
    marked = torch.zeros(n_frames, math.prod(shape), dtype=torch.uint8, device=cells.device)
    marked.scatter_(1, (x * shape[1] + y) * shape[2] + z, 1)
    return dilated(marked.view(n_frames, *shape), steps) > 0
