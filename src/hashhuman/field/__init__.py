"""The canonical field: colour and density of canonical space."""
