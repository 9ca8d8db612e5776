"""Runs beside each other: what can be compared of them, as a table and as a page."""
