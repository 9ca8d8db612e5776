"""Masks and part labels from Self-Correction Human Parsing (Li et al., TPAMI 2020), by our network or the user's."""
