"""The first estimate that a fit starts from: from 3D points, or from the motion that another tool found."""
