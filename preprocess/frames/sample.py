"""A few pictures of a recording, for checks that run before any stage does."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8


@dataclasses.dataclass(frozen=True)
class Sample:
    """A few of the pictures that the frames stage would write, evenly spaced, and rectified as it would write them."""

    images: list[UInt8[np.ndarray, "H W 3"]]
    count: int
    """How many pictures the stage would write."""
    rate: float | None
    """Pictures per second that it would write; None if the recording does not say."""
    recorded: tuple[int, int]
    """Width and height of the recording's own pictures, which may be larger."""
    notes: Sequence[str] = ()
    """What the user should know about the file."""
