"""Rows grouped by part, with unused rows that hold no numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hashhuman.gpu.part_rows import PartRows, padded


def rows_of(*counts: int, spare: int = 0) -> PartRows:
    """Groups of which so many rows are used; `spare` rows more than need be belong to each part."""
    return PartRows(tuple(padded(count) + spare for count in counts), torch.tensor(counts, dtype=torch.int32))


def spread(parts: Sequence[Tensor], rows: PartRows) -> Tensor:
    """The parts' values in their rows, and NaN in the others."""
    out = parts[0].new_full((rows.total, parts[0].shape[1]), float("nan"))
    return torch.cat([torch.cat([part, out[mine][len(part) :]]) for part, mine in zip(parts, rows.slices())])


def gather(values: Tensor, rows: PartRows) -> list[Tensor]:
    """The used rows of each part."""
    return [values[mine][:used] for mine, used in zip(rows.slices(), rows.used)]


def evaluate(module: nn.Module, *parts: Tensor) -> Tensor:
    """A module's output for the rows of its parts, which follow one another; all its other rows are checked to be
    finite."""
    rows = rows_of(*map(len, parts))
    out = module(spread(parts, rows), rows)
    assert out.isfinite().all()
    return torch.cat(gather(out, rows))
