"""Rows grouped by part, with NaN in unused rows."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hashhuman.gpu.part_rows import PartRows, padded


def rows_of(*counts: int, spare: int = 0) -> PartRows:
    """Groups with these numbers of used rows; each part has `spare` more rows than necessary."""
    return PartRows(tuple(padded(count) + spare for count in counts), torch.tensor(counts, dtype=torch.int32))


def spread(parts: Sequence[Tensor], rows: PartRows) -> Tensor:
    """The parts' values in their rows, and NaN in unused rows."""
    out = parts[0].new_full((rows.total, parts[0].shape[1]), float("nan"))
    return torch.cat([torch.cat([part, out[mine][len(part) :]]) for part, mine in zip(parts, rows.slices())])


def gather(values: Tensor, rows: PartRows) -> list[Tensor]:
    """The used rows of each part."""
    return [values[mine][:used] for mine, used in zip(rows.slices(), rows.used)]


def evaluate(module: nn.Module, *parts: Tensor) -> Tensor:
    """A module's output for the rows of its parts, part by part. Checks that all other rows are finite."""
    rows = rows_of(*map(len, parts))
    out = module(spread(parts, rows), rows)
    assert out.isfinite().all()
    return torch.cat(gather(out, rows))
