"""SMPL and its successors, read from the user's own files."""
