"""Rows grouped by part."""

import pytest
import torch

from hashhuman.gpu.part_rows import GRANULE, PartRows, padded


@pytest.mark.parametrize(("count", "size"), [(0, 0), (1, GRANULE), (GRANULE, GRANULE), (GRANULE + 1, 2 * GRANULE)])
def test_padded(count: int, size: int):
    assert padded(count) == size


def test_by_hand():
    rows = PartRows((GRANULE, 0, 2 * GRANULE), torch.tensor([3, 0, 200], dtype=torch.int32))
    assert rows.total == 3 * GRANULE and rows.starts == (0, GRANULE, GRANULE)
    assert rows.slices() == [slice(0, GRANULE), slice(GRANULE, GRANULE), slice(GRANULE, 3 * GRANULE)]
    assert rows.mask().nonzero()[:, 0].tolist() == [0, 1, 2, *range(GRANULE, GRANULE + 200)]


def test_all_used():
    rows = PartRows.all_used([2 * GRANULE, GRANULE], "cpu")
    assert rows.mask().all() and rows.used.tolist() == [2 * GRANULE, GRANULE] and rows.used.dtype == torch.int32
