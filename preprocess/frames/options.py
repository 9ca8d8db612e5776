"""The options that both variants of the frames stage have."""

import sys

from hashhuman.errors import UserError


def check_options(start: int, stop: int | None, step: int, max_size: int | None, format: str) -> None:
    """Raises UserError if an option of preprocess.frames is out of range.

    Args:
        start, stop, step: which pictures to take; `stop` is excluded, None is the end.
        max_size: the largest long side of the written pictures (pixels), or None.
        format: of the written pictures.
    """
    if start < 0 or step < 1 or (stop is not None and stop <= start):
        raise UserError(
            f"preprocess.frames has start={start}, stop={stop}, step={step}, which select no picture of a video: start "
            "must be at least 0, step at least 1, and stop larger than start."
        )
    if max_size is not None and max_size < 1:
        raise UserError(f"preprocess.frames.max_size={max_size} must be at least 1, or null for the video's size.")
    if format not in ("png", "jpg"):
        raise UserError(f"preprocess.frames.format={format} is neither png nor jpg.")


def selection(start: int, stop: int | None, step: int) -> range:
    """The numbers of the pictures that the options select; `stop` is excluded, None is the end."""
    return range(start, sys.maxsize if stop is None else stop, step)
