"""From videos to pictures and cameras: one video, or several synchronised ones."""
