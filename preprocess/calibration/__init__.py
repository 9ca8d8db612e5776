"""Readers of camera calibrations as other tools write them."""
