"""Checks before a run starts: values out of range, missing packages and files, and folders that cannot be written."""
