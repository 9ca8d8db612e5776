"""SMPL and its successors, from the user's own files."""
