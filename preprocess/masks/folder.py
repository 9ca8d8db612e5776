"""Stage 4 with the user's own masks; part labels are the user's too, or drawn from the fitted body."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, UInt8
from rich.progress import Progress

from hashhuman.data import lip
from hashhuman.data.silhouette import around
from hashhuman.data.spacing import evenly_spaced
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io.files import read_image
from hashhuman.io.listing import listed
from hashhuman.io.masks import SUFFIXES, read_mask
from preprocess.frames.numbering import numbers_in, rows_of_pictures
from preprocess.frames.video_index import VideoIndex, video_index
from preprocess.keypoints.points import points_path
from preprocess.masks.draw import draw_stage
from preprocess.masks.outputs import mask_outputs
from preprocess.masks.parts import PartRenderer, spread_classes
from preprocess.masks.shift import ShiftCheck
from preprocess.stage import Stage

Files = dict[int, Path]  # by the subject's frame
DrawBody = Callable[[int], Bool[np.ndarray, "H W"]]  # the pixels that the body covers in a frame


class FolderMasks(Stage):
    """Writes `mask/` and `schp/` from the user's files.

    Args:
        path: a folder with a mask for each picture, of any kind that `hashhuman.io.masks` reads, or a folder of such
            folders, one for each object. Files are matched by the video's numbers in their names or, if there are as
            many as pictures, by order. A picture without a mask, or with an empty one, is not trained on. Masks that
            the keypoints show to be those of other pictures are refused.
        parts: a folder of part labels in the colours of the LIP palette, named likewise; None: drawn from the body.
        pictures: how many pictures to draw.
        force: run even if nothing has changed.
    """

    name: ClassVar[str] = "masks"

    def __init__(self, path: str, parts: str | None = None, pictures: int = 12, force: bool = False) -> None:
        self.path, self.parts = Path(path), Path(parts) if parts else None
        self.pictures = pictures
        self.force = force

    def inputs(self, subject: Path) -> list[Path]:
        body = [subject / "smpl_lbs" / f"{name}.npy" for name in ("faces", "weights")]
        given = [folder for folder in (self.path, self.parts) if folder]
        own = [subject / "images", subject / "annots.npy", points_path(subject)]
        return [*given, *own, *body, subject / "smpl_vertices"]

    def outputs(self, subject: Path) -> list[Path]:
        return mask_outputs(subject, self.name)

    def settings(self) -> dict[str, Any]:
        return {"path": str(self.path), "parts": self.parts and str(self.parts), "pictures": self.pictures}

    def run(self, subject: Path, progress: Progress) -> str:
        reader, writer = Subject(subject), SubjectWriter(subject)
        camera, index = reader.camera(0), video_index(subject)
        render = PartRenderer(reader.template())
        masks = self._masks(reader, index, lambda frame: render(camera, reader.vertices(frame)) != 0)
        parts = files_of_frames(self.parts, reader.frames, index) if self.parts else {}
        absent, check = [], ShiftCheck.of(subject)
        for picture in progress.track(reader.pictures, description="masks"):
            path, body = masks.get(picture.frame), render(camera, reader.vertices(picture.frame))
            mask = np.zeros((camera.height, camera.width), np.float32)
            if path is not None:
                mask = read_mask(path, camera.height, camera.width, around(body != 0))
            check.add(picture.frame, mask)
            if not mask.any():
                absent.append(picture.frame)
            if self.parts and picture.frame in parts:
                labels = read_parts(parts[picture.frame], camera.height, camera.width)
            else:
                labels = spread_classes(body, mask > 0.5)
            writer.write_mask(picture.camera, picture.frame, mask)
            writer.write_parts(picture.camera, picture.frame, labels)
        if len(absent) == len(reader.pictures):
            raise UserError(f"All masks in {self.path} are empty: name the folder of the person's masks.")
        check.refuse(self.path)
        draw_stage(Subject(subject), subject / "pictures" / self.name, self.pictures)
        none = f", none or an empty one in {len(absent)} pictures (from {absent[0]} on)" if absent else ""
        return f"{len(masks)} masks from {self.path}{none}, parts from {self.parts or 'the fitted body'}"

    def _masks(self, reader: Subject, index: VideoIndex, body: DrawBody) -> Files:
        """The mask of each frame that has one; of several folders, one for each object, that which fits the bodies."""
        folders = mask_folders(self.path)
        found = [files_of_frames(folder, reader.frames, index) for folder in folders]
        return found[0] if len(found) == 1 else max(found, key=lambda files: _overlap(files, body))


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
    colours = _read(path, height, width)
    if colours.ndim == 2:
        colours = np.repeat(colours[..., None], 3, -1)
    classes = lip.decode(colours)
    if ((classes == 0) & colours.any(-1)).any():
        raise UserError(f"{path} has colours that are not in the LIP palette of 20 classes: save it without blending.")
    return classes


def _read(path: Path, height: int, width: int) -> np.ndarray:
    image = read_image(path)
    if image.shape[:2] != (height, width):
        size = f"{image.shape[1]} x {image.shape[0]}"
        raise UserError(f"{path} is {size} pixels, but the pictures are {width} x {height}: resize the masks to them.")
    return image
