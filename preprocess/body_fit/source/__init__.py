"""Readers of the files in which other tools write the poses of a person."""
