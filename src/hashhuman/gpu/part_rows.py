"""The layout of (point, part) pairs as rows grouped by part, with which one launch treats all parts."""

import dataclasses
import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

GRANULE = 128  # rows; each part's rows start at a multiple of it, so that a block of this size belongs to one part


@dataclasses.dataclass(frozen=True)
class PartRows:
    """Part p has `sizes[p]` consecutive rows, of which the first `used[p]` are in use.

    Values in unused rows are unspecified but finite, and contribute to no gradient.
    """

    sizes: tuple[int, ...]  # multiples of GRANULE
    used: Int[Tensor, "P"]  # int32, on the device of the rows; at most `sizes`

    @classmethod
    def all_used(cls, sizes: Sequence[int], device: torch.device | str) -> "PartRows":
        """Groups without unused rows; the sizes must be multiples of GRANULE."""
        # Filled one by one, because a copy from the host cannot be captured in a CUDA graph.
        used = [torch.full((1,), size, dtype=torch.int32, device=device) for size in sizes]
        return cls(tuple(sizes), torch.cat(used))

    @property
    def total(self) -> int:
        """Number of rows of all parts (M)."""
        return sum(self.sizes)

    @property
    def starts(self) -> tuple[int, ...]:
        """Each part's first row."""
        return tuple(itertools.accumulate(self.sizes[:-1], initial=0))

    def slices(self) -> list[slice]:
        """Each part's rows."""
        return [slice(start, start + size) for start, size in zip(self.starts, self.sizes)]

    def mask(self) -> Bool[Tensor, "M"]:
        """Which rows are in use."""
        device = self.used.device
        return torch.cat([torch.arange(size, device=device) < used for size, used in zip(self.sizes, self.used)])


def padded(count: int) -> int:
    """The smallest multiple of GRANULE that is at least `count`."""
    return -(-count // GRANULE) * GRANULE


def arrange(part: Int[Tensor, "M"], n_parts: int) -> tuple[tuple[int, ...], Int[Tensor, "P"], Int[Tensor, "M"]]:
    """Assigns rows to pairs that are sorted by part. Returns `sizes` and `used` of `PartRows`, and each pair's row."""
    counts = torch.bincount(part, minlength=n_parts)
    sizes = [padded(count) for count in counts.tolist()]
    first = torch.tensor([sum(sizes[:p]) for p in range(n_parts)], device=part.device)
    before = counts.cumsum(0) - counts
    row = torch.arange(len(part), device=part.device) + (first - before)[part]
    return tuple(sizes), counts.int(), row
