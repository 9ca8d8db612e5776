"""The fit itself: the sequence of bodies, the terms of its objective, and their minimisation."""
