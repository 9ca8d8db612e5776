"""Notices that files of another tool belong to other pictures: they fit clearly better if they are moved in time."""

from collections.abc import Callable

FARTHEST = 8  # pictures
LEAST_PICTURES = 8  # in which both sides show the person


def clear_shift(cost: Callable[[int], float], least: float, clearly: float) -> int:
    """By how many pictures the files are late (negative: early), if they say so clearly, and otherwise 0.

    Only a person who moves tells: of one who stands still, all pictures fit all files.

    Args:
        cost: how badly the files that are so many pictures later fit the pictures; infinite if it is unknown.
        least: a smaller cost of the files as they are is right enough.
        clearly: the share of this cost that another place must not exceed.
    """
    costs = {shift: cost(shift) for shift in range(-FARTHEST, FARTHEST + 1)}
    best = min(costs, key=lambda shift: (costs[shift], abs(shift)))
    return best if costs[0] > least and costs[best] < clearly * costs[0] else 0


def words(shift: int, step: float = 1.0) -> str:
    """Such as '3 pictures late'; `step`: pictures of the video from one to the next."""
    count = round(abs(shift) * step)
    return f"{count} picture{'s' if count > 1 else ''} {'late' if shift > 0 else 'early'}"
