"""A recording: a video, a folder of pictures, or an animated picture; and those of several synchronised cameras."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from hashhuman.errors import UserError
from hashhuman.io import limits
from hashhuman.io.files import read_rgb
from hashhuman.io.listing import listed
from preprocess.frames import decode
from preprocess.frames.container import VideoPicture
from preprocess.frames.decode import ANIMATIONS, EVERY, PICTURES, SUFFIXES
from preprocess.frames.notes import Notes


def find_recordings(folder: Path) -> dict[str, Path]:
    """Each camera's video or folder of pictures, by its name, in natural order.

    They lie in the folder itself, or else in its `videos/`, or else in its `images/` (EasyMocap's layout).
    A folder that holds pictures itself is one camera's. Raises UserError if there are none.
    """
    found: dict[str, Path] = {}
    for place in (folder, folder / "videos", folder / "images"):
        entries = [] if found else listed(place)
        found |= {p.stem: p for p in entries if p.is_file() and p.suffix.lower() in SUFFIXES}
        found |= {p.name: p for p in entries if p.is_dir() and not found.get(p.name) and _image_files(p)}
    if not found and is_recording(folder):
        return {folder.name: folder}
    if not found:
        raise UserError(f"{folder} holds neither videos nor folders of pictures, one for each camera.")
    return found


def is_recording(path: Path) -> bool:
    """Whether a path is a file, or a folder of pictures."""
    return path.is_file() or bool(_image_files(path))


def files_of(recording: Path) -> list[Path]:
    """The files that a recording consists of."""
    return _image_files(recording) if recording.is_dir() else [recording]


def count_pictures(recording: Path) -> int | None:
    """How many pictures a recording holds; None if the video does not say."""
    if recording.is_dir():
        return len(_image_files(recording))
    return None if recording.suffix.lower() in ANIMATIONS else decode.count_pictures(recording)


def pictures_a_second(recording: Path) -> float | None:
    """The recording's mean rate (1/s); None if unknown, as for a folder of pictures."""
    animated = recording.is_dir() or recording.suffix.lower() in ANIMATIONS
    return None if animated else decode.pictures_a_second(recording)


def read_pictures(recording: Path, selected: range = EVERY, notes: Notes | None = None) -> Iterator[VideoPicture]:
    """The selected pictures of a recording in order; see `decode.decode`.

    A folder of pictures has no times: its picture i gets i as its seconds. Raises UserError for one that is damaged.
    """
    if recording.is_dir():
        files = _image_files(recording)
        yield from (_read_image(files, index) for index in range(len(files)) if index in selected)
    elif recording.suffix.lower() in ANIMATIONS:
        yield from _read_animation(recording, selected)
    else:
        yield from decode.decode(recording, selected, notes)


def sample_pictures(recording: Path, indices: Sequence[int], notes: Notes | None = None) -> list[VideoPicture]:
    """The pictures with these numbers (ascending); see `decode.sample`."""
    if recording.suffix.lower() in ANIMATIONS and not recording.is_dir():
        chosen = set(indices)
        return [each for each in _read_animation(recording, range(max(chosen, default=0) + 1)) if each.index in chosen]
    if not recording.is_dir():
        return decode.sample(recording, indices, notes)
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
    return [path for path in listed(folder, PICTURES) if path.is_file()]


def _read_animation(path: Path, selected: range) -> Iterator[VideoPicture]:
    """The selected pictures of an animated WebP, on black where they are transparent."""
    try:
        with Image.open(path, formats=("WEBP",)) as animation:
            limits.check_pixels(animation.height, animation.width)
            seconds = 0.0
            for index in range(min(getattr(animation, "n_frames", 1), selected.stop)):
                animation.seek(index)
                animation.load()  # which reads its duration
                if index in selected:
                    over = Image.alpha_composite(Image.new("RGBA", animation.size, "black"), animation.convert("RGBA"))
                    yield VideoPicture(index, seconds, np.asarray(over.convert("RGB")))
                seconds += animation.info.get("duration", 0) / 1000
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as an animated picture: {error}.") from None


def _read_image(files: Sequence[Path], index: int) -> VideoPicture:
    return VideoPicture(index, float(index), read_rgb(files[index]))
