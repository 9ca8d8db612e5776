"""What users should know about a recording that was read otherwise than they may think."""

import av

from preprocess.frames.colour import dynamic_range


class Notes:
    """Collects what is noticed while a recording is read."""

    def __init__(self) -> None:
        self.damaged: list[str] = []
        """A reason for each failure to decode."""
        self._lines: dict[str, None] = {}

    def look(self, frame: av.VideoFrame) -> None:
        """Notes what a frame tells of its coding."""
        if (name := dynamic_range(frame)) is not None:
            self.add(f"high dynamic range ({name}), converted to standard range (BT.709)")
        if frame.interlaced_frame:
            self.add("interlaced: fast limbs have combs; deinterlace it first (ffmpeg -vf bwdif)")

    def add(self, line: str) -> None:
        """Adds a note, once."""
        self._lines[line] = None

    def absent(self, numbers: list[int]) -> None:
        """Notes which pictures cannot be decoded; `numbers` is ascending and not empty."""
        which = f"picture {numbers[0]} cannot be decoded and is left out"
        if len(numbers) > 1:
            which = f"{len(numbers)} pictures from {numbers[0]} on cannot be decoded and are left out"
        self.add(
            f"damaged: {which}; what follows, up to the next key picture, may be smeared "
            f"(preprocess.frames.stop={numbers[0]} takes the part before)"
        )

    def lines(self) -> list[str]:
        """All notes, each once."""
        return list(self._lines)
