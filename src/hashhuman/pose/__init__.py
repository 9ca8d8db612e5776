"""The poses of the training frames: kept as they were fitted, or refined together with the avatar."""
