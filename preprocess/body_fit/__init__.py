"""The body_fit stage: one body shape for the clip, and a pose and a position for every frame."""
