"""The pictures that the frames stage has written, as later stages find them."""

from pathlib import Path

from hashhuman.errors import UserError

CAMERA = 0  # stages for one camera read and write this one; its pictures lie in images/00


def image_paths(subject: Path) -> dict[int, Path]:
    """The first camera's picture files by frame number, ascending. Raises UserError if there are none."""
    paths = sorted((subject / "images" / f"{CAMERA:02d}").glob("[0-9]*.*"))
    if not paths:
        raise UserError(f"{subject} has no pictures in images/{CAMERA:02d}: run the frames stage.")
    return {int(path.stem): path for path in paths}
