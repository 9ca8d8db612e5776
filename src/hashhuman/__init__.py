"""HashHuman: a part-based hash-grid human NeRF from one monocular video."""
