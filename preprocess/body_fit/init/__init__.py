"""The first pose of a fit: from a moving skeleton of another tool, or from metric points."""
