"""Several calibrated cameras: geometry of several views, and each camera as a subject of its own."""
