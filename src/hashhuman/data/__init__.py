"""The subject folder, and what training draws from it."""
