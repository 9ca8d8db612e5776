"""Multiresolution hash grids: several backends with one specification and one parameter layout."""

from hashhuman.encoder.spec import HashGridSpec

__all__ = ["HashGridSpec"]
