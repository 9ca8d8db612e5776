"""What users should know about a recording that was read otherwise than they may think."""

from pathlib import Path

import av

from hashhuman.errors import UserError
from preprocess.frames.colour import dynamic_range

_LISTED = 5  # numbers of damaged pictures


class Notes:
    """Collects what is noticed while a recording is read. Damaged pictures are left out."""

    def __init__(self) -> None:
        self._lost: list[int] = []
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

    def lost(self, path: Path, index: int, reason: str) -> None:
        """Notes that picture `index` of a video cannot be decoded, or is made from such a one."""
        self._lost.append(index)

    def cut(self, path: Path, phrase: str) -> None:
        """Notes that a video ends too early: `phrase` follows its name."""
        self.add(f"cut off: it {phrase}")

    def lines(self) -> list[str]:
        """All notes, each once."""
        return [*self._damage(), *self._lines]

    def _damage(self) -> list[str]:
        if not self._lost:
            return []
        numbers, count = sorted(self._lost), len(self._lost)
        which = f"picture {numbers[0]} cannot be decoded and is left out"
        if count > 1:
            listed = ", ".join(map(str, numbers[:_LISTED])) + (", ..." if count > _LISTED else "")
            which = f"{count} pictures cannot be decoded, or are made from such ones, and are left out ({listed})"
        return [f"damaged: {which}; preprocess.frames.stop={numbers[0]} takes the part before"]


class Strict(Notes):
    """Refuses a video with damaged pictures, and one that is cut, with UserError."""

    def lost(self, path: Path, index: int, reason: str) -> None:
        raise UserError(
            f"{path}: picture {index} cannot be decoded ({reason}): repair the video, use the part before it with "
            f"preprocess.frames.stop={index}, or leave damaged pictures out with preprocess.frames.strict=false."
        )

    def cut(self, path: Path, phrase: str) -> None:
        raise UserError(f"{path} {phrase}: copy it again, or add preprocess.frames.strict=false.")


class Synchronised(Notes):
    """Refuses one of several synchronised videos if it has damaged pictures, with UserError; it may end early.

    Args:
        name: of the recording, which its notes begin with.
        offset: how many pictures are skipped at its beginning.
    """

    def __init__(self, name: str, offset: int) -> None:
        super().__init__()
        self.name, self.offset = name, offset

    def add(self, line: str) -> None:
        super().add(f"{self.name}: {line}")

    def lost(self, path: Path, index: int, reason: str) -> None:
        raise UserError(
            f"{path}: picture {index} cannot be decoded ({reason}): repair the video, or use the part before it with "
            f"preprocess.frames.stop={index - self.offset}."
        )
