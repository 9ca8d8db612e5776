"""Cameras, rays, boxes and skinning as pure functions: nothing here holds state or knows a file."""
