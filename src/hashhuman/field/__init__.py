"""Canonical space: colour and density."""
