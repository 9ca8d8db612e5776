"""The recordings of synchronised cameras: one video, or one folder of pictures, for each camera."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from hashhuman.errors import UserError
from hashhuman.io.files import read_rgb
from preprocess.frames import decode
from preprocess.frames.container import VideoPicture
from preprocess.frames.decode import SUFFIXES
from preprocess.frames.intact import shortfall

log = logging.getLogger(__name__)
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def find_recordings(folder: Path) -> dict[str, Path]:
    """Each camera's video or folder of pictures, by its name, in alphabetical order.

    They lie in the folder itself, or else in its `videos/`, or else in its `images/` (EasyMocap's layout).
    Raises UserError if there are none.
    """
    found: dict[str, Path] = {}
    for place in (folder, folder / "videos", folder / "images"):
        entries = sorted(place.iterdir()) if place.is_dir() and not found else []
        found |= {p.stem: p for p in entries if p.is_file() and p.suffix.lower() in SUFFIXES}
        found |= {p.name: p for p in entries if p.is_dir() and not found.get(p.name) and _image_files(p)}
    if not found:
        raise UserError(f"{folder} holds neither videos nor folders of pictures, one for each camera.")
    return found


def count_pictures(recording: Path) -> int | None:
    """How many pictures a recording holds; None if the video does not say."""
    return len(_image_files(recording)) if recording.is_dir() else decode.count_pictures(recording)


def pictures_a_second(recording: Path) -> float | None:
    """The recording's mean rate (1/s); None if unknown, as for a folder of pictures."""
    return None if recording.is_dir() else decode.pictures_a_second(recording)


def read_pictures(recording: Path, stop: int | None = None) -> Iterator[VideoPicture]:
    """The pictures of a recording in order, up to `stop` (excluded). Raises UserError for one that is damaged.

    A folder of pictures has no times: its picture i gets i as its seconds.
    """
    if not recording.is_dir():
        last = None
        for last in decode.decode(recording, stop):
            yield last
        at_stop = last is None or (stop is not None and last.index + 1 >= stop)
        if last is not None and not at_stop and (missing := shortfall(recording, last.index + 1, last.seconds)):
            log.warning("%s %s", recording, missing)
        return
    files = _image_files(recording)[:stop]
    yield from (_read_image(files, index) for index in range(len(files)))


def sample_pictures(recording: Path, indices: Sequence[int]) -> list[VideoPicture]:
    """The pictures with these numbers (ascending); see `decode.sample`."""
    if not recording.is_dir():
        return decode.sample(recording, indices)
    files = _image_files(recording)
    return [_read_image(files, index) for index in indices]


def refuse_different_numbers(recordings: Sequence[Path]) -> None:
    """Raises UserError if folders of numbered pictures do not have the same numbers at the same positions.

    Otherwise pictures of different moments would be taken for one moment.
    """
    folders = [path for path in recordings if path.is_dir()]
    stems = [[path.stem for path in _image_files(folder)] for folder in folders]
    for row in zip(*stems):
        if all(stem.isdigit() for stem in row) and len({int(stem) for stem in row}) > 1:
            other = next(i for i, stem in enumerate(row) if int(stem) != int(row[0]))
            raise UserError(
                f"{folders[0]} has a picture {row[0]} where {folders[other]} has {row[other]}: remove the pictures "
                "that not all cameras have, or give the difference in preprocess.frames.offsets."
            )


def _image_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _IMAGE_SUFFIXES)


def _read_image(files: Sequence[Path], index: int) -> VideoPicture:
    return VideoPicture(index, float(index), read_rgb(files[index]))
