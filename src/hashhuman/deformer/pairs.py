"""Query points, and the same points carried to canonical space once for each part that is near.

Notation: N query points, P parts, M rows of (query point, part) pairs.
"""

import dataclasses

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.gpu.part_rows import PartRows, arrange


@dataclasses.dataclass(frozen=True)
class Points:
    """World positions, each with a viewing direction and the posed body that it belongs to."""

    position: Float[Tensor, "N 3"]  # metres, world
    direction: Float[Tensor, "N 3"]  # unit vector along the point's ray, world
    frame: Int[Tensor, "N"]  # index of the posed body
    used: Int[Tensor, "1"] | None = None  # number of points in use, from the first; None: all


@dataclasses.dataclass(frozen=True)
class CanonicalPairs:
    """The (query point, part) pairs near the body, one row each, grouped by part.

    A point near a boundary, for example between torso and arm, belongs to several parts (instant-nvr, Geng et al. 2023,
    Sec. 3.2).
    """

    rows: PartRows
    point: Int[Tensor, "M"]  # index of the query point; 0 in unused rows
    slots: Int[Tensor, "P N"]  # row of each point in each part; -1 if the point is not near the part
    x: Float[Tensor, "M 3"]  # canonical position (m)
    rotation: Float[Tensor, "M 3 3"]  # canonical directions from world directions: a blend of rotations
    normal: Float[Tensor, "M 3"]  # unit normal of the nearby body surface, canonical
    uv: Float[Tensor, "M 2"] | None  # texture coordinates of the nearby body surface, in [0, 1]
    points: Points
    frame_time: Int[Tensor, "F"]  # index of each posed body among the training frames, or -1
    needed: Int[Tensor, "P"]  # number of rows that each part needs; may exceed its capacity

    @classmethod
    def arranged(
        cls,
        points: Points,
        part: Int[Tensor, "M"],
        point: Int[Tensor, "M"],
        n_parts: int,
        x: Float[Tensor, "M 3"],
        rotation: Float[Tensor, "M 3 3"],
        normal: Float[Tensor, "M 3"],
        uv: Float[Tensor, "M 2"] | None,
        frame_time: Int[Tensor, "F"],
    ) -> "CanonicalPairs":
        """Groups pairs that come in any order by their part; each part's rows are padded with unused ones.

        Args:
            points: the query points.
            part, point: of each pair.
            n_parts: number of parts P.
            x, rotation, normal, uv: of each pair; see the fields of this class.
            frame_time: see the fields of this class.
        """
        sizes, used, row = arrange(part, n_parts)
        slots = torch.full((n_parts, len(points.position)), -1, device=row.device)
        slots[part, point] = row

        def placed(values: Tensor) -> Tensor:
            return values.new_zeros(sum(sizes), *values.shape[1:]).index_copy(0, row, values)

        return cls(
            rows=PartRows(sizes, used),
            point=placed(point),
            slots=slots,
            x=placed(x),
            rotation=placed(rotation),
            normal=placed(normal),
            uv=None if uv is None else placed(uv),
            points=points,
            frame_time=frame_time,
            needed=used,
        )

    @classmethod
    def claimed(
        cls,
        points: Points,
        claims: Bool[Tensor, "P N"],
        rotation: Float[Tensor, "N 3 3"],
        normal: Float[Tensor, "N 3"],
    ) -> "CanonicalPairs":
        """Makes pairs of points that are given in canonical space. They have no texture coordinates and time -1.

        Args:
            points: positions (m, canonical) and directions (world).
            claims: which parts each point belongs to.
            rotation, normal: of each point; see the fields of this class.
        """
        part, point = claims.nonzero().unbind(1)
        no_time = torch.full((1,), -1, device=point.device)
        x = points.position[point]
        return cls.arranged(points, part, point, len(claims), x, rotation[point], normal[point], None, no_time)

    def of(self, row: Int[Tensor, "K"]) -> tuple["CanonicalPairs", Int[Tensor, "R"]]:
        """The pairs of some rows.

        Args:
            row: rows in use, in ascending order.

        Returns:
            The pairs, and for each of their rows the row here that it was taken from; 0 for unused ones.
        """
        n_parts = len(self.rows.sizes)
        ends = torch.tensor(self.rows.starts[1:], dtype=row.dtype, device=row.device)
        part = torch.bucketize(row, ends, right=True)
        sizes, used, place = arrange(part, n_parts)
        source = row.new_zeros(sum(sizes)).index_copy(0, place, row)
        point = row.new_zeros(sum(sizes)).index_copy(0, place, self.point[row])
        slots = torch.full_like(self.slots, -1)
        slots[part, self.point[row]] = place
        pairs = CanonicalPairs(
            rows=PartRows(sizes, used),
            point=point,
            slots=slots,
            x=self.x.index_select(0, source),
            rotation=self.rotation.index_select(0, source),
            normal=self.normal.index_select(0, source),
            uv=None if self.uv is None else self.uv.index_select(0, source),
            points=self.points,
            frame_time=self.frame_time,
            needed=used,
        )
        return pairs, source

    def part(self) -> Int[Tensor, "M"]:
        """The part of each row."""
        sizes = self.rows.sizes
        return torch.cat([torch.full((n,), p, device=self.x.device) for p, n in enumerate(sizes)])

    @property
    def time(self) -> Int[Tensor, "M"]:
        """Index of each row's frame among the training frames, or -1."""
        return self.frame_time[self.points.frame[self.point]]

    @property
    def viewdirs(self) -> Float[Tensor, "M 3"]:
        """Unit viewing direction of each row, canonical."""
        return (self.rotation @ self.points.direction[self.point][..., None])[..., 0]
