"""Stage 4 with the user's own masks; part labels are the user's too, or drawn from the fitted body."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from hashhuman.data import lip
from hashhuman.data.spacing import evenly_spaced
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.io.files import read_image
from hashhuman.io.listing import listed
from hashhuman.io.masks import SUFFIXES, read_ids_or_coverage, read_mask
from preprocess.frames.numbering import numbers_in, rows_of_pictures
from preprocess.frames.video_index import VideoIndex, video_index
from preprocess.keypoints.points import points_path
from preprocess.masks import stack
from preprocess.masks.given import DrawBody, GivenMask, GivenMasks, Masks
from preprocess.masks.stack import MaskStack

Files = dict[int, Path]  # by the subject's frame


class FolderMasks(GivenMasks):
    """Writes `mask/` and `schp/` from the user's files.

    Args:
        path: a folder with a mask for each picture, of any kind that `hashhuman.io.masks` reads, or a folder of such
            folders, one for each object; or a file with the masks of all pictures (`preprocess.masks.stack`). Masks are
            matched by the video's numbers in their names or, if there are as many as pictures, by order. A picture
            without a mask, or with an empty one, is not trained on. Masks that the keypoints show to be those of other
            pictures are refused.
        parts: a folder of part labels in the colours of the LIP palette, named likewise; None: drawn from the body.
        pictures: how many pictures to draw.
        force: run even if nothing has changed.
    """

    def __init__(self, path: str, parts: str | None = None, pictures: int = 12, force: bool = False) -> None:
        self.path, self.parts = Path(path), Path(parts) if parts else None
        self.pictures = pictures
        self.force = force
        self._parts: Files = {}

    def inputs(self, subject: Path) -> list[Path]:
        body = [subject / "smpl_lbs" / f"{name}.npy" for name in ("faces", "weights")]
        given = [folder for folder in (self.path, self.parts) if folder]
        own = [subject / "images", subject / "annots.npy", points_path(subject)]
        return [*given, *own, *body, subject / "smpl_vertices"]

    def settings(self) -> dict[str, Any]:
        return {"path": str(self.path), "parts": self.parts and str(self.parts), "pictures": self.pictures}

    def run(self, subject: Path, progress: Any) -> str:
        self._parts = files_of_frames(self.parts, Subject(subject).frames, video_index(subject)) if self.parts else {}
        return f"{super().run(subject, progress)}, parts from {self.parts or 'the fitted body'}"

    def parts_of(self, frame: int, height: int, width: int) -> UInt8[np.ndarray, "H W"] | None:
        return read_parts(self._parts[frame], height, width) if frame in self._parts else None

    def masks(self, reader: Subject, index: VideoIndex, body: DrawBody) -> Masks:
        if self.path.is_file() and self.path.suffix.lower() in stack.SUFFIXES:
            return _of_stack(MaskStack(self.path), reader.frames, index)
        folders = mask_folders(self.path)
        found = [files_of_frames(folder, reader.frames, index) for folder in folders]
        # of several folders, one for each object, that which fits the bodies
        files = found[0] if len(found) == 1 else max(found, key=lambda files: _overlap(files, body))
        return {frame: functools.partial(_read, path) for frame, path in files.items()}


def _read(path: Path) -> GivenMask:
    return GivenMask(read_ids_or_coverage(path), path)


def _of_stack(masks: MaskStack, frames: Sequence[int], index: VideoIndex) -> dict[int, Callable[[], GivenMask]]:
    """The masks of a file, by the subject's frames."""

    def read(row: int) -> GivenMask:
        return GivenMask(masks[row], masks.path)

    rows = rows_of_pictures(masks.numbers, len(masks.numbers), index, str(masks.path))
    return {frame: functools.partial(read, row) for frame, row in zip(frames, rows) if row is not None}


def mask_folders(path: Path) -> list[Path]:
    """The folder itself if it holds masks, or else its folders that do: SAM 2 writes one for each object.

    Raises UserError if there are none.
    """
    if not path.is_dir():
        raise UserError(f"There is no folder {path}: name one that holds a mask for each picture.")
    if listed(path, SUFFIXES):
        return [path]
    inner = [folder for folder in listed(path) if folder.is_dir()]
    found = [folder for one in inner for folder in (one, *listed(one)) if listed(folder, SUFFIXES)]
    if not found:
        raise UserError(f"{path} holds no masks: name a folder with one for each picture.")
    return found


def _overlap(files: Files, draw: DrawBody) -> float:
    """The median IoU of masks and bodies in some of the pictures."""
    overlaps = []
    for frame in evenly_spaced(list(files), 5):
        body = draw(frame)
        mask = read_mask(files[frame], *body.shape) > 0.5
        overlaps.append((mask & body).sum() / max((mask | body).sum(), 1))
    return float(np.median(overlaps))


def files_of_frames(folder: Path, frames: Sequence[int], index: VideoIndex) -> Files:
    """The file of each of the subject's frames, by `rows_of_pictures`; a few frames may have none.

    Raises UserError if the folder does not exist, or its files do not belong to the subject's pictures.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: name one that holds a mask for each picture.")
    files = listed(folder, SUFFIXES)
    numbers = numbers_in([path.stem for path in files])
    rows = rows_of_pictures(numbers, len(files), index, str(folder))
    return {frame: files[row] for frame, row in zip(frames, rows) if row is not None}


def read_parts(path: Path, height: int, width: int) -> UInt8[np.ndarray, "{height} {width}"]:
    """Part labels as LIP classes. Raises UserError if their size is not the pictures', or a colour is not LIP's."""
    colours = _read_colours(path, height, width)
    if colours.ndim == 2:
        colours = np.repeat(colours[..., None], 3, -1)
    classes = lip.decode(colours)
    if ((classes == 0) & colours.any(-1)).any():
        raise UserError(f"{path} has colours that are not in the LIP palette of 20 classes: save it without blending.")
    return classes


def _read_colours(path: Path, height: int, width: int) -> np.ndarray:
    image = read_image(path)
    if image.shape[:2] != (height, width):
        size = f"{image.shape[1]} x {image.shape[0]}"
        raise UserError(f"{path} is {size} pixels, but the pictures are {width} x {height}: resize the masks to them.")
    return image
