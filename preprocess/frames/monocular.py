"""Stage 1 for one video: its pictures and the camera that took them."""

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from rich.progress import Progress

from hashhuman.data.subject import SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io import threads
from preprocess.frames.container import VideoPicture
from preprocess.frames.decode import count_pictures, decode, find_video, pictures_a_second, sample
from preprocess.frames.images import CAMERA
from preprocess.frames.intact import shortfall
from preprocess.frames.lens import Lens, Rectifier
from preprocess.frames.options import check_options
from preprocess.frames.sample import Sample, evenly_spaced
from preprocess.frames.video_index import index_entries, refuse_other_video
from preprocess.stage import FileStamp, Stage

log = logging.getLogger(__name__)


class VideoFrames(Stage):
    """Decodes a video into `images/00/` and writes its camera into `annots.npy`.

    Args:
        video: a path, a name in `workspace`/videos, or `demo`.
        workspace: the folder that holds `videos/`.
        start, stop, step: which pictures of the video to take, counted from 0; `stop` is excluded, None is the end.
        max_size: the largest long side of the written pictures (pixels); None keeps the video's size.
        format: `png` (lossless) or `jpg` (quality 95).
        focal: focal length in pixels of the video's own pictures; None assumes 1.2 min(height, width).
        camera: instead of `focal`, a mapping with K (3 x 3) and D, or a JSON file that holds one.
        strict: refuse a video with damaged pictures, or one that is cut; else they are left out, and reported.
        force: run even if nothing has changed.

    Raises UserError if an option is out of range or there is no such video.
    """

    name: ClassVar[str] = "frames"

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
        lens = None if self.lens is None else {"K": self.lens.K.tolist(), "D": self.lens.D.tolist()}
        return {"lens": lens, **{name: getattr(self, name) for name in names}}

    def run(self, subject: Path, progress: Progress) -> str:
        source = {"file": str(self.path.absolute()), "sha256": FileStamp.of(self.path).sha256}
        refuse_other_video(subject, source)
        ends: list[str] = []
        pictures = self._selected(progress, ends)
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
        faults = [*self._left_out([index for index, _ in sources]), *ends]
        for fault in faults:
            log.warning("%s %s", self.path, fault)
        about = {"size": [width, height], "focal_assumed": self.lens is None and not self.focal, "faults": faults}
        writer.update_meta(video={**source, **index_entries(sources), **about})
        told = f"{len(written)} pictures, {camera.width} x {camera.height}, focal length {camera.K[0, 0]:.0f} px"
        return "; ".join([told, *faults])

    def samples(self, count: int) -> dict[str, Sample]:
        """At most `count` pictures of the video, by the video's name. Raises UserError if there are none."""
        total = count_pictures(self.path) or sum(1 for _ in decode(self.path, self.stop, self.strict))
        selected = range(self.start, min(total, self.stop or total), self.step)
        pictures = sample(self.path, evenly_spaced(selected, count))
        if not pictures:
            raise self._no_pictures()
        rectify = self._rectifier(*pictures[0].image.shape[:2])
        rate = pictures_a_second(self.path)
        images = [rectify(picture.image) for picture in pictures]
        return {self.path.stem: Sample(images, len(selected), rate and rate / self.step)}

    def _rectifier(self, height: int, width: int) -> Rectifier:
        lens = self.lens or Lens.assumed(height, width, self.focal)
        return Rectifier(lens, height, width, self.max_size)

    def _no_pictures(self) -> UserError:
        return UserError(f"{self.path} has no pictures{f' from {self.start} on' if self.start else ''}.")

    def _left_out(self, taken: Sequence[int]) -> list[str]:
        """A phrase on the selected pictures that were damaged, given the numbers of those that were not; or nothing."""
        damaged = sorted({*range(self.start, taken[-1], self.step)} - {*taken})
        listed = ", ".join(map(str, damaged[:5])) + (", ..." if len(damaged) > 5 else "")
        return [f"has {len(damaged)} damaged pictures, which are left out ({listed})"] if damaged else []

    def _selected(self, progress: Progress, ends: list[str]) -> Iterator[VideoPicture]:
        """The pictures that start, stop and step select. Adds a phrase to `ends` if the video is cut."""
        total = min(filter(None, (count_pictures(self.path), self.stop)), default=None)
        task = progress.add_task("decoding", total=total)
        picture = None
        for picture in decode(self.path, self.stop, self.strict):
            progress.update(task, completed=picture.index + 1)
            if picture.index >= self.start and (picture.index - self.start) % self.step == 0:
                yield picture
        if picture is None or (self.stop is not None and picture.index + 1 >= self.stop):
            return
        if missing := shortfall(self.path, picture.index + 1, picture.seconds):
            if self.strict:
                raise UserError(f"{self.path} {missing}: copy it again, or add preprocess.frames.strict=false.")
            ends.append(missing)
