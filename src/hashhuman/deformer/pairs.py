"""Query points, and the same points carried to canonical space by each part that claims them.

Notation: N query points, P parts, M rows of pairs.
"""

import dataclasses

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.gpu.part_rows import PartRows, arrange


@dataclasses.dataclass(frozen=True)
class Points:
    """Places in the world, each in a frame of its own and seen from a direction."""

    position: Float[Tensor, "N 3"]  # metres
    direction: Float[Tensor, "N 3"]  # unit: of the ray that looks at it
    frame: Int[Tensor, "N"]  # which posed body
    used: Int[Tensor, "1"] | None = None  # the first so many mean something; None: all


@dataclasses.dataclass(frozen=True)
class CanonicalPairs:
    """The (query point, part) pairs near the body, one row each, grouped by part.

    A point near a boundary, say between torso and arm, belongs to several parts (instant-nvr, Sec. 3.2).
    """

    rows: PartRows
    point: Int[Tensor, "M"]  # index of the query point; 0 in unused rows
    slots: Int[Tensor, "P N"]  # row of each point in each part; -1 where the part does not reach
    x: Float[Tensor, "M 3"]  # canonical position (m)
    rotation: Float[Tensor, "M 3 3"]  # canonical directions from world directions: a blend of rotations
    normal: Float[Tensor, "M 3"]  # the body's nearby, canonical, unit
    uv: Float[Tensor, "M 2"] | None  # texture coordinates of the body nearby
    points: Points
    frame_time: Int[Tensor, "F"]  # training frame of each posed body, or -1
    needed: Int[Tensor, "P"]  # rows that each part needed; more than it has where its capacity was too small

    @classmethod
    def claimed(
        cls,
        points: Points,
        claims: Bool[Tensor, "P N"],
        rotation: Float[Tensor, "N 3 3"],
        normal: Float[Tensor, "N 3"],
    ) -> "CanonicalPairs":
        """Pairs of points that are in canonical space already, without texture coordinates; training saw none of them.

        Args:
            points: positions (m, canonical); directions in the world.
            claims: which parts reach each point.
            rotation, normal: as in the pairs.
        """
        part, point = claims.nonzero().unbind(1)
        sizes, used, row = arrange(part, len(claims))
        slots = torch.full(claims.shape, -1, device=row.device)
        slots[part, point] = row

        def placed(values: Tensor) -> Tensor:
            return values.new_zeros(sum(sizes), *values.shape[1:]).index_copy(0, row, values[point])

        return cls(
            rows=PartRows(sizes, used),
            point=placed(torch.arange(len(points.position), device=row.device)),
            slots=slots,
            x=placed(points.position),
            rotation=placed(rotation),
            normal=placed(normal),
            uv=None,
            points=points,
            frame_time=torch.full((1,), -1, device=row.device),
            needed=used,
        )

    def part(self) -> Int[Tensor, "M"]:
        """Each row's part."""
        sizes = self.rows.sizes
        return torch.cat([torch.full((n,), p, device=self.x.device) for p, n in enumerate(sizes)])

    @property
    def time(self) -> Int[Tensor, "M"]:
        """Training frame of each row, or -1."""
        return self.frame_time[self.points.frame[self.point]]

    @property
    def viewdirs(self) -> Float[Tensor, "M 3"]:
        """The ray's direction, in canonical space."""
        return (self.rotation @ self.points.direction[self.point][..., None])[..., 0]
