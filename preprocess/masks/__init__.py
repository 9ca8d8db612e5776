"""Masks and part labels: the variants of the stage and what they are made of."""
