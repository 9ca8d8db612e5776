"""Chooses samples along rays, and composites samples into pixels. Knows nothing of fields and networks."""
