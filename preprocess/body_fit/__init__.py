"""The body in every picture: one shape for the sequence, a pose and a place for each frame."""
