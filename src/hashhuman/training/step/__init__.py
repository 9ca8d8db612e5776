"""Executes an optimizer step: kernel by kernel, or as a CUDA graph."""
