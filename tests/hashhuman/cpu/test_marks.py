"""Marks that spread, against pooling."""

import pytest
import torch

from hashhuman.cpu.marks import spread


@pytest.mark.parametrize("steps", [0, 1, 3, 20])
def test_marks_spread_as_by_pooling(steps: int):
    marked = (torch.rand(2, 9, 12, 7, generator=torch.Generator().manual_seed(0)) < 0.01).to(torch.uint8)
    before = marked.clone()
    expected = torch.nn.functional.max_pool3d(marked.float()[:, None], 2 * steps + 1, 1, steps)[:, 0]
    torch.testing.assert_close(spread(marked, steps), expected.to(torch.uint8))
    assert marked.sum() > 0 and torch.equal(marked, before)
