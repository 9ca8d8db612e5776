"""What the pictures show of the body, in the form that the fit compares it in: points, outlines, flow and texture."""
