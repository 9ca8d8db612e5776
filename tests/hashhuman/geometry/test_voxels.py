"""Marked voxels grow by cubes."""

import pytest
import torch

from hashhuman.geometry import voxels


@pytest.mark.parametrize("dilate", [voxels.dilated, voxels._by_shifts, voxels._by_pooling])
@pytest.mark.parametrize("steps", [0, 1, 3, 20])
def test_every_mark_becomes_a_cube(dilate, steps: int):
    marked = (torch.rand(2, 9, 12, 7, generator=torch.Generator().manual_seed(0)) < 0.01).to(torch.uint8)
    before, expected = marked.clone(), torch.zeros_like(marked)
    for n, i, j, k in marked.nonzero().tolist():
        low = [max(0, place - steps) for place in (i, j, k)]
        expected[n, low[0] : i + steps + 1, low[1] : j + steps + 1, low[2] : k + steps + 1] = 1
    assert torch.equal(dilate(marked, steps), expected) and marked.any()
    assert torch.equal(marked, before)
