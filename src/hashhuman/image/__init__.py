"""Whole pictures of an avatar."""
