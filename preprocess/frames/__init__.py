"""Stage 1: from a video, or several synchronised ones, to pictures and cameras."""
