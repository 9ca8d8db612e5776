"""Several calibrated cameras: triangulation, and each camera as a subject of its own."""
