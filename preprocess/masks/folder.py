"""Stage 4 with the user's own masks; part labels are the user's too, or drawn from the fitted body."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8
from rich.progress import Progress

from hashhuman.data import lip
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io.files import read_image
from preprocess.masks.draw import draw_stage
from preprocess.masks.parts import PartRenderer, spread_classes
from preprocess.stage import Stage

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


class FolderMasks(Stage):
    """Writes `mask/` and `schp/` from the user's files.

    Args:
        path: a folder with a mask for each picture, white on black, or 1 on 0. The masks are named by frame number;
            otherwise there must be as many as pictures, and they are taken in the order of their names.
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
        return [*given, subject / "images", subject / "annots.npy", *body, subject / "smpl_vertices"]

    def outputs(self, subject: Path) -> list[Path]:
        return [subject / name for name in ("mask", "schp", "plate", f"pictures/{self.name}")]

    def settings(self) -> dict[str, Any]:
        return {"path": str(self.path), "parts": self.parts and str(self.parts), "pictures": self.pictures}

    def run(self, subject: Path, progress: Progress) -> str:
        reader, writer = Subject(subject), SubjectWriter(subject)
        camera = reader.camera(0)
        frames = [picture.frame for picture in reader.pictures]
        masks = files_of_frames(self.path, frames)
        parts = files_of_frames(self.parts, frames) if self.parts else {}
        render = PartRenderer(reader.template())
        for picture in progress.track(reader.pictures, description="masks"):
            mask = read_mask(masks[picture.frame], camera.height, camera.width)
            if parts:
                labels = read_parts(parts[picture.frame], camera.height, camera.width)
            else:
                labels = spread_classes(render(camera, reader.vertices(picture.frame)), mask > 127)
            writer.write_mask(picture.camera, picture.frame, mask / np.float32(255))
            writer.write_parts(picture.camera, picture.frame, labels)
        draw_stage(Subject(subject), subject / "pictures" / self.name, self.pictures)
        return f"{len(frames)} masks from {self.path}, parts from {self.parts or 'the fitted body'}"


def files_of_frames(folder: Path, frames: list[int]) -> dict[int, Path]:
    """The file of each frame: the one named by its number if every frame has one, otherwise by order.

    Raises UserError if the folder does not exist, or has another number of files than there are frames.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: name one that holds a mask for each picture.")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    numbered = {int(path.stem): path for path in files if path.stem.isdigit()}
    if set(frames) <= numbered.keys():
        return {frame: numbered[frame] for frame in frames}
    if len(files) != len(frames):
        raise UserError(
            f"{folder} holds {len(files)} pictures for {len(frames)} frames: it needs one for each, best named by "
            f"frame like {frames[0]:06d}.png."
        )
    return dict(zip(frames, files))


def read_mask(path: Path, height: int, width: int) -> UInt8[np.ndarray, "{height} {width}"]:
    """A mask as 8-bit coverage; 0 and 1 become 0 and 255. Raises UserError if its size is not the pictures'."""
    mask = _read(path, height, width)
    mask = mask.max(-1) if mask.ndim == 3 else mask
    return mask * np.uint8(255) if mask.max() <= 1 else mask


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
