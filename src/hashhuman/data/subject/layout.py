"""Definitions that the reader and the writer of a subject folder share."""

import dataclasses
from pathlib import Path

VERSION = 1  # of subject.json
MILLIMETRES = 1000.0  # in a metre: `T` of annots.npy is in millimetres


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture that annots.npy lists and that exists."""

    camera: int  # position in annots.npy
    frame: int  # number in the file's name
    image: Path
    mask: Path | None  # None: it does not exist
    parts: Path | None
