"""Stage 1 for several cameras: synchronised recordings and the calibration that they share."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from rich.progress import Progress

from hashhuman.data.subject import SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import read_rgb
from preprocess.calibration.cameras import Calibration, match
from preprocess.calibration.read import calibration_files, read_calibration
from preprocess.frames.decode import SUFFIXES, VideoPicture, count_pictures, decode, pictures_a_second, sample
from preprocess.frames.monocular import Lens, Rectifier, Sample, refuse_other_video, spread, timing
from preprocess.stage import FileStamp, Stage

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class SynchronisedFrames(Stage):
    """Decodes recordings of several calibrated cameras into `images/CC/` and writes all cameras into `annots.npy`.

    Picture i of each recording is of the same moment. World coordinates are the calibration's.

    Args:
        video: a folder, or a name in `workspace`/videos, that holds the videos, or folders of pictures, one a camera;
            in it, or in its `videos/` or `images/` (EasyMocap's layout).
        calibration: what `read_calibration` reads; None: EasyMocap's intri.yml and extri.yml in the folder.
        unit: metres in the calibration's unit of length.
        cameras: names of the recordings to take, the one to fit the body to first; None: all, in alphabetical order.
        offsets: pictures to leave out at the beginning of a recording, by its name, where they did not start together.
        start, stop, step: which moments, counted from 0 after the offsets, `stop` excluded.
        max_size: the long side of what is written, at most (pixels); None keeps the recordings' size.
        format: `png` (lossless) or `jpg` (quality 95).
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
        if start < 0 or step < 1 or (stop is not None and stop <= start):
            raise UserError(f"start={start}, stop={stop}, step={step} name no pictures of a video.")
        if format not in ("png", "jpg"):
            raise UserError(f"preprocess.frames.format={format} is neither png nor jpg.")
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
            f"There is no folder {self.video} with synchronised videos, also not in {self.workspace}/videos."
        )

    @property
    def calibration(self) -> Path:
        """The file or folder that tells the cameras."""
        return self.given or self.folder

    def inputs(self, subject: Path) -> list[Path]:
        return [*self._recordings().values(), *calibration_files(self.calibration)]

    def outputs(self, subject: Path) -> list[Path]:
        return [subject / "images", subject / "annots.npy"]

    def settings(self) -> dict[str, Any]:
        names = ("unit", "cameras", "offsets", "start", "stop", "step", "max_size", "format")
        return {name: getattr(self, name) for name in names}

    def run(self, subject: Path, progress: Progress) -> str:
        recordings = self._recordings()
        if not self.offsets:
            _refuse_other_moments(list(recordings.values()))
        calibrations = match(read_calibration(self.calibration), list(recordings), self.calibration)
        source = {"file": str(self.folder.absolute()), "sha256": _digest(self.inputs(subject))}
        refuse_other_video(subject, source)
        writer = SubjectWriter(subject)
        writer.update_meta(video=source)
        extracted = [
            self._extract(writer, index, path, calibrations[name], self._chosen(name, path, progress))
            for index, (name, path) in enumerate(recordings.items())
        ]
        lengths = [len(each.images) for each in extracted]
        count = min(lengths)
        for alone in (path for each in extracted for path in each.images[count:]):
            alone.unlink()
        rows = [list(row) for row in zip(*(each.images for each in extracted))]
        cameras = [each.camera for each in extracted]
        writer.write_annots(cameras, [np.zeros(5)] * len(cameras), rows)
        about = {"cameras": list(recordings), "focal_assumed": False}
        writer.update_meta(video={**source, **timing(extracted[0].sources[:count]), **about})
        alone = sum(lengths) - count * len(lengths)
        left_out = f", {alone} pictures that not all have left out" if alone else ""
        return f"{count} moments of {len(cameras)} cameras{left_out}"

    def samples(self, count: int) -> dict[str, Sample]:
        """About `count` pictures of each recording, by its name. Raises UserError for one that has none."""
        recordings, found = self._recordings(), {}
        calibrations = match(read_calibration(self.calibration), list(recordings), self.calibration)
        for name, path in recordings.items():
            total = len(_pictures(path)) if path.is_dir() else count_pictures(path) or sum(1 for _ in decode(path))
            first, stop = self._bounds(name)
            chosen = range(first, min(total, stop or total), self.step)
            places = spread(chosen, count)
            pictures = _sample_pictures(path, places) if path.is_dir() else sample(path, places)
            if not pictures:
                raise self._no_pictures(path)
            rectify = self._rectifier(calibrations[name], *pictures[0].image.shape[:2])
            images = [rectify(picture.image) for picture in pictures]
            rate = None if path.is_dir() else pictures_a_second(path)
            found[name] = Sample(images, len(chosen), rate and rate / self.step)
        return found

    def _extract(
        self, writer: SubjectWriter, index: int, path: Path, calibration: Calibration, pictures: Iterator[VideoPicture]
    ) -> "_Extracted":
        """Rectifies and writes the pictures of one recording."""
        extracted = rectify = None
        height = width = 0
        for picture in pictures:
            shape = picture.image.shape[:2]
            if rectify is None or extracted is None:
                height, width = shape
                rectify = self._rectifier(calibration, height, width)
                extracted = _Extracted(_placed(rectify.camera(), calibration, self.unit), [], [])
            elif shape != (height, width):
                raise UserError(f"{path}: picture {picture.index} is {shape[1]} x {shape[0]}, not {width} x {height}.")
            image = rectify(picture.image)
            extracted.images.append(writer.write_image(index, len(extracted.images), image, f".{self.format}"))
            extracted.sources.append((picture.index, picture.seconds))
        if extracted is None:
            raise self._no_pictures(path)
        return extracted

    def _rectifier(self, calibration: Calibration, height: int, width: int) -> Rectifier:
        placed = calibration.scaled(height, width)
        return Rectifier(Lens(placed.K, placed.D), height, width, self.max_size)

    def _no_pictures(self, path: Path) -> UserError:
        return UserError(f"{path} has no pictures{f' from {self.start} on' if self.start else ''}.")

    def _bounds(self, name: str) -> tuple[int, int | None]:
        """The first picture of a recording to take, and the one to stop before."""
        offset = self.offsets.get(name, 0)
        return offset + self.start, None if self.stop is None else offset + self.stop

    def _recordings(self) -> dict[str, Path]:
        """Each camera's video or folder of pictures, in the order of `cameras`."""
        found: dict[str, Path] = {}
        for folder in (self.folder, self.folder / "videos", self.folder / "images"):
            entries = sorted(folder.iterdir()) if folder.is_dir() and not found else []
            found |= {p.stem: p for p in entries if p.is_file() and p.suffix.lower() in SUFFIXES}
            found |= {p.name: p for p in entries if p.is_dir() and not found.get(p.name) and _pictures(p)}
        if not found:
            raise UserError(f"{self.folder} holds neither videos nor folders of pictures, one for each camera.")
        unknown = [name for name in (*(self.cameras or ()), *self.offsets) if name not in found]
        if unknown:
            raise UserError(f"{self.folder} has no recording {unknown[0]}, but {', '.join(found)}.")
        return {name: found[name] for name in (self.cameras or found)}

    def _chosen(self, name: str, path: Path, progress: Progress) -> Iterator[VideoPicture]:
        """The pictures of a recording that its offset, start, stop and step name."""
        first, stop = self._bounds(name)
        pictures = _read_pictures(path, stop) if path.is_dir() else decode(path, stop)
        total = len(_pictures(path)) if path.is_dir() else count_pictures(path)
        task = progress.add_task(f"decoding {name}", total=min(filter(None, (total, stop)), default=None))
        for picture in pictures:
            progress.update(task, completed=picture.index + 1)
            if picture.index >= first and (picture.index - first) % self.step == 0:
                yield picture


@dataclasses.dataclass(frozen=True)
class _Extracted:
    """What came of one recording."""

    camera: Camera  # of the written pictures
    images: list[Path]
    sources: list[tuple[int, float]]  # of each picture: its number in the recording, seconds


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _PICTURES)


def _read_pictures(folder: Path, stop: int | None) -> Iterator[VideoPicture]:
    files = _pictures(folder)[:stop]
    yield from (_read_picture(files, index) for index in range(len(files)))


def _sample_pictures(folder: Path, indices: Sequence[int]) -> list[VideoPicture]:
    files = _pictures(folder)
    return [_read_picture(files, index) for index in indices]


def _read_picture(files: Sequence[Path], index: int) -> VideoPicture:
    return VideoPicture(index, float(index), read_rgb(files[index]))


def _refuse_other_moments(recordings: Sequence[Path]) -> None:
    """Pictures that are named by numbers must have the same ones in the same places, or moments would be mixed up."""
    folders = [path for path in recordings if path.is_dir()]
    numbers = [[path.stem for path in _pictures(folder)] for folder in folders]
    for row in zip(*numbers):
        if all(stem.isdigit() for stem in row) and len({int(stem) for stem in row}) > 1:
            other = next(i for i, stem in enumerate(row) if int(stem) != int(row[0]))
            raise UserError(
                f"{folders[0]} has a picture {row[0]} where {folders[other]} has {row[other]}: remove what not all "
                "cameras have, or name the difference with preprocess.frames.offsets."
            )


def _placed(camera: Camera, calibration: Calibration, unit: float) -> Camera:
    """A rectified camera at its place in the world (m)."""
    R, T = torch.from_numpy(calibration.R).float(), torch.from_numpy(calibration.T * unit).float()
    return dataclasses.replace(camera, R=R, T=T)


def _digest(paths: Sequence[Path]) -> str:
    """One hash of all files' content."""
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return hashlib.sha256("".join(FileStamp.of(file).sha256 for file in files if file.is_file()).encode()).hexdigest()
