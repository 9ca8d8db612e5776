"""Carries points from posed to canonical space: inverse skinning, then a learned residual."""
