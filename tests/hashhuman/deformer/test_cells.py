"""Cells of canonical space."""

import numpy as np
import torch

from hashhuman.deformer.cells import Cells

LOW, EXTENT = torch.tensor([[-1.0, 0.0, 2.0], [0.5, -0.5, 0.0]]), torch.tensor([2.0, 0.8])


def test_index_against_numpy():
    generator = torch.Generator().manual_seed(0)
    x, part = 2 * torch.randn(500, 3, generator=generator), torch.randint(2, (500,), generator=generator)
    cells = Cells(LOW, EXTENT, 4, torch.zeros(2 * 4**3, dtype=torch.uint8), (0.5, 0.2))
    low, side = LOW.numpy()[part], EXTENT.numpy()[part, None] / 4
    node = np.clip(np.floor((x.numpy() - low) / side), 0, 3).astype(int)
    expected = np.ravel_multi_index((part.numpy(), *node.T), (2, 4, 4, 4))
    np.testing.assert_array_equal(cells.index(x, part), expected)


def test_by_hand():
    marked = torch.zeros(2, 4, 4, 4, dtype=torch.uint8)
    marked[0, 1, 0, 3] = 1  # of the first part: x in [-0.5, 0], y in [0, 0.5], z in [3.5, 4]
    cells = Cells(LOW, EXTENT, 4, marked.flatten(), (0.5, 0.2))
    x = torch.tensor([[-0.3, 0.1, 3.6], [0.3, 0.1, 3.6], [-0.3, -7.0, 9.0], [-0.3, 0.1, 3.6]])
    # The third lies outside the cube, and the marked cell is the nearest to it; the fourth is of the other part.
    assert cells.contain(x, torch.tensor([0, 0, 0, 1])).tolist() == [True, False, True, False]


def test_contain_follows_later_marks():
    cells = Cells(LOW, EXTENT, 1, torch.ones(2, dtype=torch.uint8), (2.0, 0.8))
    x, part = torch.zeros(2, 3), torch.tensor([0, 1])
    cells.marked[1] = 0
    assert cells.contain(x, part).tolist() == [True, False]


def test_all_contains_every_position():
    cells = Cells.all(3, torch.device("cpu"))
    x = 100 * torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    part = torch.arange(60) % 3
    assert cells.contain(x, part).all()
    torch.testing.assert_close(cells.index(x, part), part)


def test_cells_around_marked_ones_are_marked():
    """In each part by as many cells as lie within the distance there."""
    marked = (torch.rand(2, 9, 9, 9, generator=torch.Generator().manual_seed(0)) < 0.01).to(torch.uint8)
    cells = Cells(LOW, EXTENT, 9, marked.flatten(), (0.25, 0.1))
    for distance, steps in ((0.1, (1, 1)), (0.15, (1, 2)), (0.3, (2, 3)), (6.0, (24, 60))):
        around = cells.around(distance).marked.view_as(marked)
        expected = torch.zeros_like(marked)
        for part, i, j, k in marked.nonzero().tolist():
            reach = steps[part]
            low = [max(0, place - reach) for place in (i, j, k)]
            expected[part, low[0] : i + reach + 1, low[1] : j + reach + 1, low[2] : k + reach + 1] = 1
        assert torch.equal(around, expected) and 0 < marked.sum() < expected.sum()
