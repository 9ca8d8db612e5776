"""The subject folder, its splits, and the batches of rays that training draws from it."""
