"""Evaluation: held-out pictures measured and compared, and the avatar shown from all sides."""
