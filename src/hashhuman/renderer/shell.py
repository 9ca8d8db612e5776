"""The voxels around posed bodies in which samples are put."""

import dataclasses
import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Shell:
    """Marked voxels of posed space, one grid for each posed body."""

    origin: Float[Tensor, "F 3"]  # lowest corner of the first voxel, posed space (m)
    end: Float[Tensor, "F 3"]  # highest corner of the last one
    voxel: float
    occupied: Bool[Tensor, "F X Y Z"]

    @classmethod
    def around(cls, vertices: Float[Tensor, "F V 3"], reach: float, voxel: float) -> "Shell":
        """Marks the voxels whose centre lies within `reach` (m) and half a diagonal of a body point, and some more.

        Cubes are marked around the points instead of balls, which takes three passes along the axes; who needs fewer
        voxels looks at each of those marked.
        """
        radius = reach + 0.5 * 3**0.5 * voxel
        origin = vertices.amin(1) - radius - voxel
        shape = ((vertices.amax(1) + radius + voxel - origin) / voxel).amax(0).ceil().long().tolist()
        cell = ((vertices - origin[:, None]) / voxel).long()
        marked = torch.zeros(len(vertices), *shape, device=vertices.device)
        marked[torch.arange(len(vertices), device=vertices.device)[:, None], *cell.unbind(-1)] = 1
        steps = math.ceil(radius / voxel)
        for axis in range(3):
            width = [2 * steps + 1 if i == axis else 1 for i in range(3)]
            padding = [steps if i == axis else 0 for i in range(3)]
            # A pool's padding may be half its width at most, which it just is.
            marked = torch.nn.functional.max_pool3d(marked[:, None], width, stride=1, padding=padding)[:, 0]
        return cls(origin, origin + torch.tensor(shape, device=origin.device) * voxel, voxel, marked > 0)

    @property
    def diagonal(self) -> float:
        """Length of the longest way through a grid (m)."""
        return self.voxel * math.hypot(*self.occupied.shape[1:])

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

    def marked(self) -> tuple[Float[Tensor, "Q 3"], Int[Tensor, "Q"], Int[Tensor, "Q"]]:
        """Centres of the marked voxels (m, posed), their frames, and their positions in the flattened grids."""
        position = self.occupied.view(-1).nonzero()[:, 0]
        frame, x, y, z = self.occupied.nonzero().unbind(1)
        centers = self.origin[frame] + (torch.stack([x, y, z], 1) + 0.5) * self.voxel
        return centers, frame, position
