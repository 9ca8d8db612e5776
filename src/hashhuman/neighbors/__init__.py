"""Which body points lie nearest to a query point, part by part."""

from hashhuman.neighbors.base import NeighborIndex, Pairs

__all__ = ["NeighborIndex", "Pairs"]
