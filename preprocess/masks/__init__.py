"""Stage 4: the person's mask and part labels in every picture."""
