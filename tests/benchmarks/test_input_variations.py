"""Every variation of input is right, or refused by a sentence; the whole table is in benchmarks/results/."""

import pytest

from benchmarks.input_variations import outcomes


@pytest.mark.parametrize("kind", ["one person, several ids", "codings of masks", "orders and numbers"])
def test_nothing_is_wrong_without_a_word(kind: str):
    counts = outcomes(kind)
    assert counts["right"] == counts.total() == 20
