"""The report of a run: one page with all that a run folder holds, which opens offline."""
