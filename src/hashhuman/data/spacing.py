"""Chooses some of many pictures."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def evenly_spaced(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items, evenly spaced from the first to the last."""
    places = np.unique(np.linspace(0, len(items) - 1, count).round().astype(int)) if len(items) else []
    return [items[place] for place in places]
