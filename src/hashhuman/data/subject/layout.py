"""What the reader and the writer of a subject folder share."""

import dataclasses
from pathlib import Path

VERSION = 1  # of subject.json
MILLIMETRES = 1000.0  # in a metre: `T` of annots.npy is in millimetres


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture that is listed in annots.npy and present on disk."""

    camera: int  # position in annots.npy
    frame: int
    image: Path
    mask: Path | None
    parts: Path | None
