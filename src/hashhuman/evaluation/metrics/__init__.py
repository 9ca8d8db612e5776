"""Image metrics, LPIPS, and the protocols that define which metric is computed over which region."""
