"""Cameras, rays, boxes and skinning, without mutable state or files."""
