"""What a user takes away from a run: a rigged mesh, a page, motion and mesh files, one file per format."""
