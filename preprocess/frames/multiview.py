"""Stage 1 for several cameras: synchronised recordings and the calibration of their cameras."""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from rich.progress import Progress

from hashhuman.data.spacing import evenly_spaced
from hashhuman.data.subject import SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from preprocess.calibration.cameras import Calibration, match_recordings
from preprocess.calibration.read import calibration_files, read_calibration
from preprocess.frames.container import VideoPicture
from preprocess.frames.lens import Lens, Rectifier
from preprocess.frames.notes import Notes, Synchronised
from preprocess.frames.options import check_options, selection
from preprocess.frames.recordings import (
    count_pictures,
    files_of,
    find_recordings,
    pictures_a_second,
    read_pictures,
    refuse_different_numbers,
    sample_pictures,
)
from preprocess.frames.sample import Sample
from preprocess.frames.video_index import index_entries, refuse_other_video
from preprocess.stage import Stage, digest

log = logging.getLogger(__name__)


class SynchronisedFrames(Stage):
    """Decodes recordings of several calibrated cameras into `images/CC/` and writes all cameras into `annots.npy`.

    Picture i of every recording shows the same moment. World coordinates are the calibration's, in metres.

    Args:
        video: a folder, or a name in `workspace`/videos; `find_recordings` says what it holds.
        workspace: the folder that holds `videos/`.
        calibration: a path that `read_calibration` reads; None: the recordings' folder, which then holds EasyMocap's
            intri.yml and extri.yml.
        unit: the calibration's unit of length in metres.
        cameras: names of the recordings to take; the body is fitted to the first. None: all, in alphabetical order.
        offsets: how many pictures to skip at the beginning of a recording, by its name, if they did not start together.
        start, stop, step: which moments to take, counted from 0 after the offsets; `stop` is excluded, None is the end.
        max_size: the largest long side of the written pictures (pixels); None keeps the recordings' size.
        format: `png` (lossless) or `jpg` (quality 95).
        force: run even if nothing has changed.

    Raises UserError if an option is out of range.
    """

    name: ClassVar[str] = "frames"

    def __init__(
        self,
        video: str,
        workspace: str = "data",
        calibration: str | None = None,
        unit: float = 1.0,
        cameras: Sequence[str] | None = None,
        offsets: Mapping[str, int] | None = None,
        start: int = 0,
        stop: int | None = None,
        step: int = 1,
        max_size: int | None = None,
        format: Literal["png", "jpg"] = "png",
        force: bool = False,
    ):
        check_options(start, stop, step, max_size, format)
        if unit <= 0:
            raise UserError(f"preprocess.frames.unit={unit} must be above 0: it is the calibration's unit in metres.")
        self.video, self.workspace = video, Path(workspace)
        self.given = Path(calibration).expanduser() if calibration else None
        self.unit, self.cameras, self.offsets = unit, cameras, dict(offsets or {})
        self.start, self.stop, self.step = start, stop, step
        self.max_size, self.format, self.force = max_size, format, force

    @property
    def folder(self) -> Path:
        """The recordings' folder. Raises UserError if there is none."""
        for path in (Path(self.video).expanduser(), self.workspace / "videos" / self.video):
            if path.is_dir():
                return path
        raise UserError(
            f"There is no folder {self.video} with synchronised videos, and none of that name in "
            f"{self.workspace}/videos."
        )

    @property
    def calibration(self) -> Path:
        """The file or folder with the cameras."""
        return self.given or self.folder

    def inputs(self, subject: Path) -> list[Path]:
        return [*self._recordings().values(), *calibration_files(self.calibration)]

    def _files(self, subject: Path) -> list[Path]:
        given = [files_of(p) if p in self._recordings().values() else [p] for p in self.inputs(subject)]
        return [path for group in given for path in group if path.is_file()]

    def outputs(self, subject: Path) -> list[Path]:
        return [subject / "images", subject / "annots.npy"]

    def settings(self) -> dict[str, Any]:
        names = ("unit", "cameras", "offsets", "start", "stop", "step", "max_size", "format")
        return {name: getattr(self, name) for name in names}

    def run(self, subject: Path, progress: Progress) -> str:
        recordings = self._recordings()
        notes = {name: Synchronised(name, self.offsets.get(name, 0)) for name in recordings}
        if not self.offsets:
            refuse_different_numbers(list(recordings.values()))
        calibrations = self._calibrations(recordings)
        source = {"file": str(self.folder.absolute()), "sha256": digest(self._files(subject))}
        refuse_other_video(subject, source)
        writer = SubjectWriter(subject)
        writer.update_meta(video=source)
        extracted = [
            self._extract(writer, index, path, calibrations[name], self._selected(name, path, progress, notes[name]))
            for index, (name, path) in enumerate(recordings.items())
        ]
        lengths = [len(each.images) for each in extracted]
        count = min(lengths)
        for surplus in (path for each in extracted for path in each.images[count:]):
            surplus.unlink()
        rows = [list(row) for row in zip(*(each.images for each in extracted))]
        cameras = [each.camera for each in extracted]
        writer.write_annots(cameras, [np.zeros(5)] * len(cameras), rows)
        lines = [line for each in notes.values() for line in each.lines()]
        for line in lines:
            log.warning("%s: %s", self.folder, line)
        about = {"cameras": list(recordings), "focal_assumed": False, "notes": lines}
        writer.update_meta(video={**source, **index_entries(extracted[0].sources[:count]), **about})
        dropped = sum(lengths) - count * len(lengths)
        remark = f", {dropped} pictures dropped because not every camera has them" if dropped else ""
        return "; ".join([f"{count} moments of {len(cameras)} cameras{remark}", *lines])

    def samples(self, count: int) -> dict[str, Sample]:
        """At most `count` pictures of each recording, by its name. Raises UserError for a recording without any."""
        recordings, found = self._recordings(), {}
        calibrations = self._calibrations(recordings)
        for name, path in recordings.items():
            total = count_pictures(path) or 1 + max((each.index for each in read_pictures(path)), default=-1)
            first, stop = self._bounds(name)
            selected = range(first, min(total, stop or total), self.step)
            notes = Notes()
            pictures = sample_pictures(path, evenly_spaced(selected, count), notes)
            if not pictures:
                raise self._no_pictures(path)
            height, width = pictures[0].image.shape[:2]
            rectify = self._rectifier(calibrations[name], height, width)
            images = [rectify(picture.image) for picture in pictures]
            rate = pictures_a_second(path)
            found[name] = Sample(images, len(selected), rate and rate / self.step, (width, height), notes.lines())
        return found

    def _extract(
        self, writer: SubjectWriter, index: int, path: Path, calibration: Calibration, pictures: Iterator[VideoPicture]
    ) -> "_Extracted":
        """Rectifies and writes the pictures of one recording, which becomes camera `index` of the subject."""
        extracted = rectify = None
        height = width = 0
        for picture in pictures:
            shape = picture.image.shape[:2]
            if rectify is None or extracted is None:
                height, width = shape
                rectify = self._rectifier(calibration, height, width)
                extracted = _Extracted(_in_world(rectify.camera(), calibration, self.unit), [], [])
            elif shape != (height, width):
                sizes = f"{shape[1]} x {shape[0]}, not {width} x {height}"
                raise UserError(f"{path}: picture {picture.index} is {sizes} like the first.")
            image = rectify(picture.image)
            extracted.images.append(writer.write_image(index, len(extracted.images), image, f".{self.format}"))
            extracted.sources.append((picture.index, picture.seconds))
        if extracted is None:
            raise self._no_pictures(path)
        return extracted

    def _calibrations(self, recordings: Mapping[str, Path]) -> dict[str, Calibration]:
        return match_recordings(read_calibration(self.calibration), list(recordings), self.calibration)

    def _rectifier(self, calibration: Calibration, height: int, width: int) -> Rectifier:
        scaled = calibration.scaled(height, width)
        return Rectifier(Lens(scaled.K, scaled.D), height, width, self.max_size)

    def _no_pictures(self, path: Path) -> UserError:
        return UserError(f"{path} has no pictures{f' from {self.start} on' if self.start else ''}.")

    def _bounds(self, name: str) -> tuple[int, int | None]:
        """The first picture of a recording to take, and the one to stop before."""
        offset = self.offsets.get(name, 0)
        return offset + self.start, None if self.stop is None else offset + self.stop

    def _recordings(self) -> dict[str, Path]:
        """Each camera's recording, in the order of `cameras`."""
        found = find_recordings(self.folder)
        unknown = [name for name in (*(self.cameras or ()), *self.offsets) if name not in found]
        if unknown:
            raise UserError(f"{self.folder} has no recording {unknown[0]}; it has {', '.join(found)}.")
        return {name: found[name] for name in (self.cameras or found)}

    def _selected(self, name: str, path: Path, progress: Progress, notes: Notes) -> Iterator[VideoPicture]:
        """The pictures of a recording that its offset, start, stop and step select."""
        first, stop = self._bounds(name)
        total = min(filter(None, (count_pictures(path), stop)), default=None)
        task = progress.add_task(f"decoding {name}", total=total)
        for picture in read_pictures(path, selection(first, stop, self.step), notes):
            progress.update(task, completed=picture.index + 1)
            yield picture


@dataclasses.dataclass(frozen=True)
class _Extracted:
    """What was written of one recording."""

    camera: Camera  # of the written pictures
    images: list[Path]
    sources: list[tuple[int, float]]  # each picture's number in the recording, and its seconds


def _in_world(camera: Camera, calibration: Calibration, unit: float) -> Camera:
    """The camera with the calibration's rotation and translation, the latter converted to metres."""
    R, T = torch.from_numpy(calibration.R).float(), torch.from_numpy(calibration.T * unit).float()
    return dataclasses.replace(camera, R=R, T=T)
