"""Stage 1 for one video: its pictures and the camera that took them."""

import itertools
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from rich.progress import Progress

from hashhuman.data.spacing import evenly_spaced
from hashhuman.data.subject import SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io import threads
from preprocess.frames.container import VideoPicture
from preprocess.frames.decode import find_video
from preprocess.frames.images import CAMERA
from preprocess.frames.lens import Lens, Rectifier
from preprocess.frames.notes import Notes, Strict
from preprocess.frames.options import check_options, selection
from preprocess.frames.recordings import count_pictures, files_of, pictures_a_second, read_pictures, sample_pictures
from preprocess.frames.sample import Sample
from preprocess.frames.video_index import index_entries, refuse_other_video
from preprocess.stage import Stage, digest

log = logging.getLogger(__name__)


class VideoFrames(Stage):
    """Decodes a video into `images/00/` and writes its camera into `annots.npy`.

    Args:
        video: a path, a name in `workspace`/videos, or `demo`; a video, an animated WebP, or a folder of pictures.
        workspace: the folder that holds `videos/`.
        start, stop, step: which pictures of the video to take, counted from 0; `stop` is excluded, None is the end.
        max_size: the largest long side of the written pictures (pixels); None keeps the video's size.
        format: `png` (lossless) or `jpg` (quality 95).
        focal: focal length in pixels of the video's own pictures; None assumes 1.2 min(height, width).
        camera: instead of `focal`, a mapping with K (3 x 3), D and perhaps `model: fisheye`, or a JSON file that
            holds one.
        strict: refuse a video with damaged pictures, or one that is cut; else they are left out, and reported.
        force: run even if nothing has changed.

    Raises UserError if an option is out of range or there is no such video.
    """

    name: ClassVar[str] = "frames"
    version: ClassVar[int] = 2

    def __init__(
        self,
        video: str,
        workspace: str = "data",
        start: int = 0,
        stop: int | None = None,
        step: int = 1,
        max_size: int | None = None,
        format: Literal["png", "jpg"] = "png",
        focal: float | None = None,
        camera: str | Mapping[str, Any] | None = None,
        strict: bool = False,
        force: bool = False,
    ):
        check_options(start, stop, step, max_size, format)
        if focal is not None and camera is not None:
            raise UserError("preprocess.frames takes either focal or camera, not both.")
        if focal is not None and focal <= 0:
            raise UserError(f"preprocess.frames.focal={focal} must be above 0 pixels, or null to assume one.")
        self.path = find_video(video, Path(workspace))
        self.start, self.stop, self.step = start, stop, step
        self.max_size, self.format, self.focal = max_size, format, focal
        self.lens = Lens.parse(camera) if camera is not None else None
        self.strict, self.force = strict, force

    def inputs(self, subject: Path) -> list[Path]:
        return [self.path]

    def outputs(self, subject: Path) -> list[Path]:
        return [subject / "images" / f"{CAMERA:02d}", subject / "annots.npy"]

    def settings(self) -> dict[str, Any]:
        names = ("start", "stop", "step", "max_size", "format", "focal", "strict")
        lens = None if self.lens is None else {**vars(self.lens), "K": self.lens.K.tolist(), "D": self.lens.D.tolist()}
        return {"lens": lens, **{name: getattr(self, name) for name in names}}

    def run(self, subject: Path, progress: Progress) -> str:
        source = {"file": str(self.path.absolute()), "sha256": digest(files_of(self.path))}
        refuse_other_video(subject, source)
        notes = Strict() if self.strict else Notes()
        pictures = self._selected(progress, notes)
        first = next(pictures, None)
        if first is None:
            raise self._no_pictures()
        writer = SubjectWriter(subject)
        writer.update_meta(video=source)
        height, width = size = first.image.shape[:2]
        rectify, sources = self._rectifier(height, width), []

        def checked() -> Iterator[tuple[int, np.ndarray]]:
            for frame, picture in enumerate(itertools.chain([first], pictures)):
                shape = picture.image.shape
                if shape[:2] != size:
                    sizes = f"{shape[1]} x {shape[0]}, not {width} x {height}"
                    raise UserError(f"{self.path}: picture {picture.index} is {sizes} like the first.")
                sources.append((picture.index, picture.seconds))
                yield frame, picture.image

        def write(numbered: tuple[int, np.ndarray]) -> Path:
            frame, image = numbered
            return writer.write_image(CAMERA, frame, rectify(image), f".{self.format}")

        written = list(threads.ordered(write, checked()))
        camera = rectify.camera()
        writer.write_annots([camera], [np.zeros(5)], [[path] for path in written])
        for note in notes.lines():
            log.warning("%s: %s", self.path, note)
        about = {
            "size": [width, height],
            "total": count_pictures(self.path),
            "focal_assumed": self.lens is None and not self.focal,
            "notes": notes.lines(),
        }
        # splits that a data set has stated are of its pictures alone
        writer.update_meta(video={**source, **index_entries(sources), **about}, splits=None)
        size_and_lens = f"{camera.width} x {camera.height}, focal length {camera.K[0, 0]:.0f} px"
        return "; ".join([f"{len(written)} pictures, {size_and_lens}", *notes.lines()])

    def samples(self, count: int) -> dict[str, Sample]:
        """At most `count` pictures of the video, by the video's name. Raises UserError if there are none."""
        notes = Notes()
        total = count_pictures(self.path) or 1 + max((each.index for each in read_pictures(self.path)), default=-1)
        selected = range(self.start, min(total, self.stop or total), self.step)
        pictures = sample_pictures(self.path, evenly_spaced(selected, count), notes)
        if not pictures:
            raise self._no_pictures()
        height, width = pictures[0].image.shape[:2]
        rectify = self._rectifier(height, width)
        rate = pictures_a_second(self.path)
        images = [rectify(picture.image) for picture in pictures]
        return {
            self.path.stem: Sample(images, len(selected), rate and rate / self.step, (width, height), notes.lines())
        }

    def _rectifier(self, height: int, width: int) -> Rectifier:
        lens = self.lens or Lens.assumed(height, width, self.focal)
        return Rectifier(lens, height, width, self.max_size)

    def _no_pictures(self) -> UserError:
        return UserError(f"{self.path} has no pictures{f' from {self.start} on' if self.start else ''}.")

    def _selected(self, progress: Progress, notes: Notes) -> Iterator[VideoPicture]:
        """The pictures that start, stop and step select."""
        total = min(filter(None, (count_pictures(self.path), self.stop)), default=None)
        task = progress.add_task("decoding", total=total)
        for picture in read_pictures(self.path, selection(self.start, self.stop, self.step), notes):
            progress.update(task, completed=picture.index + 1)
            yield picture
