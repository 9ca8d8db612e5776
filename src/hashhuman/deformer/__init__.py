"""Posed space to canonical space: inverse skinning, then a learned residual."""
