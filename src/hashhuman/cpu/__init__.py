"""Loops that Numba compiles for the CPU."""
