"""Stage 4 with Self-Correction Human Parsing (Li et al., TPAMI 2020), by our own network or the user's clone."""
