"""Cameras, rays, boxes, voxels and skinning, without mutable state or files."""
