"""Training: from a config to a trained avatar in a run folder."""
