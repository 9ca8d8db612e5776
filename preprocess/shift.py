"""Notices that files of another tool belong to other pictures: they fit clearly better if they are moved in time."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

FARTHEST = 8  # pictures
LEAST_PICTURES = 8  # in which both sides show the person


def clear_shift(
    off: Callable[[int], Float[np.ndarray, "N"]],
    least: float,
    clearly: float,
    average: Callable[[np.ndarray], Any] = np.mean,
) -> int:
    """By how many pictures the files are late (negative: early), if they say so clearly, and otherwise 0.

    Only a person who moves tells: of one who stands still, all pictures fit all files. Moved files also leave out some
    at an end, where they may be bad for other reasons. So they are judged against how well the very same pictures, and
    the very same files, fit as they are.

    Args:
        off: how badly each of the N pictures fits the file that is so many pictures later; NaN if that is unknown.
        least: a smaller average of the files as they are is right enough.
        clearly: the share of this average that another place must not exceed.
        average: of pictures' values.
    """
    own = off(0)

    def judged(shift: int) -> tuple[float, float]:
        """How badly the moved files fit, and the same ones as they are."""
        moved = off(shift)
        rows = np.flatnonzero(np.isfinite(moved))
        files = rows + shift
        files = files[(files >= 0) & (files < len(own))]
        unmoved = [each[np.isfinite(each)] for each in (own[rows], own[files])]
        if len(rows) < LEAST_PICTURES or not all(len(each) for each in unmoved):
            return float("inf"), 0.0
        return float(average(moved[rows])), min(float(average(each)) for each in unmoved)

    found = {shift: judged(shift) for shift in range(-FARTHEST, FARTHEST + 1)}
    best = min(found, key=lambda shift: (found[shift][0], abs(shift)))
    cost, usual = found[best]
    return best if usual > least and cost < clearly * usual else 0


def moved_rows(count: int, shift: int) -> np.ndarray:
    """The rows, of so many, that have another row so many rows later."""
    return np.arange(max(0, -shift), max(0, min(count, count - shift)))


def words(shift: int, step: float = 1.0) -> str:
    """Such as '3 pictures late'; `step`: pictures of the video from one to the next."""
    count = round(abs(shift) * step)
    return f"{count} picture{'s' if count > 1 else ''} {'late' if shift > 0 else 'early'}"
