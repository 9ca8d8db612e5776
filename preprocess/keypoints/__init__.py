"""Stage 2: the person's keypoints in each picture (33 points, in pixels and in metres) and a coarse mask."""
