"""What the pictures say about the body: points, outlines, optical flow and the pattern of the skin."""
