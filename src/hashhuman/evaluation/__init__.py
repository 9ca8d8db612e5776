"""Evaluation: measures an avatar on held-out pictures, and makes products such as tables, pictures and videos."""
