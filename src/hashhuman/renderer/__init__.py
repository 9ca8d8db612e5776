"""Where to sample a ray, and how samples become a pixel. Knows functions, never networks."""
