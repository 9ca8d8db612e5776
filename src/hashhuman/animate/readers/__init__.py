"""Readers of motion files, one for each format; `read` chooses among them."""
