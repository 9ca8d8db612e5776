"""Readers of camera calibrations that other tools have written."""
