"""Nearest-neighbour search: the body points of each part that are nearest to a query point."""

from hashhuman.neighbors.base import NeighborIndex, Pairs

__all__ = ["NeighborIndex", "Pairs"]
