"""Lists of what a mask selects."""

import torch

from hashhuman.neighbors import compact

MASK = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 1, 1, 0, 0]]).bool()  # the last column is the dummy


def test_exact():
    row, column = compact.exact(MASK)
    assert row.tolist() == [0, 0, 0, 2, 2] and column.tolist() == [0, 2, 3, 1, 2]


def test_unused_places_name_the_dummy():
    row, column = compact.padded(MASK, [4, 1, 2])
    assert row.tolist() == [0, 0, 0, 0, 1, 2, 2] and column.tolist() == [0, 2, 3, 4, 4, 1, 2]


def test_the_last_are_dropped_where_there_is_no_room():
    row, column = compact.padded(MASK, [2, 0, 1])
    assert row.tolist() == [0, 0, 2] and column.tolist() == [0, 2, 1]


def test_both_agree_when_the_room_is_exact():
    mask = torch.rand(6, 200, generator=torch.Generator().manual_seed(0)) < 0.3
    mask[:, -1] = False
    for mine, theirs in zip(compact.padded(mask, mask.sum(1).tolist()), compact.exact(mask)):
        assert torch.equal(mine, theirs)
