"""Stage 1: a video's pictures and the camera that took them."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from rich.progress import Progress

from hashhuman.data.subject import SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io import threads
from hashhuman.io.files import load_json
from preprocess.frames.decode import VideoPicture, count_pictures, decode, find_video, pictures_a_second, sample
from preprocess.stage import FileStamp, Stage

CAMERA = 0  # a monocular subject has one camera, in images/00


def image_paths(subject: Path) -> dict[int, Path]:
    """The subject's pictures by frame id. Raises UserError if there are none."""
    paths = sorted((subject / "images" / f"{CAMERA:02d}").glob("[0-9]*.*"))
    if not paths:
        raise UserError(f"{subject} has no pictures in images/{CAMERA:02d}: run the frames stage.")
    return {int(path.stem): path for path in paths}


@dataclasses.dataclass(frozen=True)
class Lens:
    """Intrinsics of the video's own pictures (upright, before any resizing): OpenCV's K (3, 3) and D (4 to 14)."""

    K: np.ndarray
    D: np.ndarray

    @staticmethod
    def parse(camera: str | Mapping[str, Any]) -> "Lens":
        """From a JSON file or a mapping with `K` and perhaps `D`. Raises UserError if it is neither."""
        values = load_json(Path(camera)) if isinstance(camera, str) else camera
        try:
            K = np.asarray(values["K"], float).reshape(3, 3)
            D = np.asarray(values["D"] if values.get("D") is not None else np.zeros(5), float).ravel()
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UserError(
                f"the camera {camera} must hold K, 3 x 3 pixels, and may hold D, OpenCV's distortion."
            ) from None
        if len(D) not in (4, 5, 8, 12, 14) or not (np.isfinite(K).all() and np.isfinite(D).all()):
            raise UserError(f"the camera {camera} must hold finite numbers, and 4, 5, 8, 12 or 14 of them in D.")
        return Lens(K, D)

    @staticmethod
    def assumed(height: int, width: int, focal: float | None) -> "Lens":
        """A lens without distortion, centred; a focal length that is not known is taken as 1.2 min(H, W)."""
        f = focal or 1.2 * min(height, width)
        return Lens(np.array([[f, 0, (width - 1) / 2], [0, f, (height - 1) / 2], [0, 0, 1]]), np.zeros(5))


class Rectifier:
    """Undoes distortion, then shrinks, so that what is written is a pinhole camera's picture."""

    def __init__(self, lens: Lens, height: int, width: int, max_size: int | None):
        scale = min(1.0, (max_size or max(height, width)) / max(height, width))
        self.size = max(1, round(width * scale)), max(1, round(height * scale))
        K, self._maps = lens.K, None
        if lens.D.any():  # the new picture shows only what the lens saw: no black rim
            K, _ = cv2.getOptimalNewCameraMatrix(lens.K, lens.D, (width, height), 0)
            maps = cv2.initUndistortRectifyMap(lens.K, lens.D, np.eye(3), K, (width, height), cv2.CV_16SC2)
            self._maps = maps[0], maps[1]
        self.K = K.copy()
        for axis, (new, old) in enumerate(zip(self.size, (width, height))):
            self.K[axis] *= new / old
            self.K[axis, 2] += 0.5 * new / old - 0.5

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The picture to write."""
        if self._maps:
            image = cv2.remap(image, *self._maps, interpolation=cv2.INTER_CUBIC)
        if image.shape[1::-1] != self.size:
            image = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA)
        return image

    def camera(self) -> Camera:
        """The camera of the written pictures; the world is the camera's own frame."""
        width, height = self.size
        return Camera(torch.from_numpy(self.K).float(), torch.eye(3), torch.zeros(3), height, width)


@dataclasses.dataclass(frozen=True)
class Sample:
    """A few pictures of a recording, spread over those that the stage writes, as it writes them."""

    images: list[UInt8[np.ndarray, "H W 3"]]
    count: int  # of all that it writes
    rate: float | None  # of these (1/s), if that is known


def spread(items: Sequence[int], count: int) -> list[int]:
    """About `count` of the items, from the first to the last."""
    places = np.unique(np.linspace(0, len(items) - 1, count).round().astype(int)) if len(items) else []
    return [items[place] for place in places]


class VideoFrames(Stage):
    """Decodes a video into `images/00/`, and writes its camera into `annots.npy`.

    Args:
        video: a path, a name in `workspace`/videos, or `demo`.
        start, stop, step: which pictures of the file, counted from 0, `stop` excluded.
        max_size: the long side of what is written, at most (pixels); None keeps the video's size.
        format: `png` (lossless) or `jpg` (quality 95).
        focal: focal length in pixels of the video's own pictures; None assumes 1.2 min(height, width).
        camera: instead of `focal`, a mapping with K (3 x 3) and D, or a JSON file that holds one.
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
        force: bool = False,
    ):
        if start < 0 or step < 1 or (stop is not None and stop <= start):
            raise UserError(f"start={start}, stop={stop}, step={step} name no pictures of a video.")
        if format not in ("png", "jpg"):
            raise UserError(f"preprocess.frames.format={format} is neither png nor jpg.")
        if focal is not None and camera is not None:
            raise UserError("preprocess.frames takes focal or camera, not both.")
        self.path = find_video(video, Path(workspace))
        self.start, self.stop, self.step = start, stop, step
        self.max_size, self.format, self.focal = max_size, format, focal
        self.lens = Lens.parse(camera) if camera is not None else None
        self.force = force

    def inputs(self, subject: Path) -> list[Path]:
        return [self.path]

    def outputs(self, subject: Path) -> list[Path]:
        return [subject / "images" / f"{CAMERA:02d}", subject / "annots.npy"]

    def settings(self) -> dict[str, Any]:
        names = ("start", "stop", "step", "max_size", "format", "focal")
        lens = None if self.lens is None else {"K": self.lens.K.tolist(), "D": self.lens.D.tolist()}
        return {"lens": lens, **{name: getattr(self, name) for name in names}}

    def run(self, subject: Path, progress: Progress) -> str:
        source = {"file": str(self.path.absolute()), "sha256": FileStamp.of(self.path).sha256}
        refuse_other_video(subject, source)
        pictures = self._chosen(progress)
        first = next(pictures, None)
        if first is None:
            raise UserError(f"{self.path} has no pictures{f' from {self.start} on' if self.start else ''}.")
        writer = SubjectWriter(subject)
        writer.update_meta(video=source)
        height, width = size = first.image.shape[:2]
        lens = self.lens or Lens.assumed(height, width, self.focal)
        rectify, sources = Rectifier(lens, height, width, self.max_size), []

        def checked() -> Iterator[tuple[int, np.ndarray]]:
            for number, picture in enumerate(itertools.chain([first], pictures)):
                shape = picture.image.shape
                if shape[:2] != size:
                    sizes = f"{shape[1]} x {shape[0]}, not {width} x {height}"
                    raise UserError(f"{self.path}: picture {picture.index} is {sizes}.")
                sources.append((picture.index, picture.seconds))
                yield number, picture.image

        def write(numbered: tuple[int, np.ndarray]) -> Path:
            number, image = numbered
            return writer.write_image(CAMERA, number, rectify(image), f".{self.format}")

        written = list(threads.ordered(write, checked()))
        camera = rectify.camera()
        writer.write_annots([camera], [np.zeros(5)], [[path] for path in written])
        about = {"size": [width, height], "focal_assumed": self.lens is None and not self.focal}
        writer.update_meta(video={**source, **timing(sources), **about})
        return f"{len(written)} pictures, {camera.width} x {camera.height}, focal length {camera.K[0, 0]:.0f} px"

    def samples(self, count: int) -> dict[str, "Sample"]:
        """About `count` pictures of the video, under its name. Raises UserError if there are none."""
        total = count_pictures(self.path) or sum(1 for _ in decode(self.path, self.stop))
        chosen = range(self.start, min(total, self.stop or total), self.step)
        pictures = sample(self.path, spread(chosen, count))
        if not pictures:
            raise UserError(f"{self.path} has no pictures{f' from {self.start} on' if self.start else ''}.")
        height, width = pictures[0].image.shape[:2]
        rectify = Rectifier(self.lens or Lens.assumed(height, width, self.focal), height, width, self.max_size)
        rate = pictures_a_second(self.path)
        images = [rectify(picture.image) for picture in pictures]
        return {self.path.stem: Sample(images, len(chosen), rate and rate / self.step)}

    def _chosen(self, progress: Progress) -> Iterator[VideoPicture]:
        """The pictures that start, stop and step name."""
        total = min(filter(None, (count_pictures(self.path), self.stop)), default=None)
        task = progress.add_task("decoding", total=total)
        for picture in decode(self.path, self.stop):
            progress.update(task, completed=picture.index + 1)
            if picture.index >= self.start and (picture.index - self.start) % self.step == 0:
                yield picture


def timing(sources: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """Which picture of the file each frame is, and when it is shown."""
    return {"pictures": [index for index, _ in sources], "seconds": [round(seconds, 6) for _, seconds in sources]}


def refuse_other_video(subject: Path, source: Mapping[str, str]) -> None:
    """Two videos of one name must not overwrite each other's subject; a video may be moved, or edited in place."""
    path = subject / "subject.json"
    known = load_json(path).get("video") if path.exists() else None
    if known and known["sha256"] != source["sha256"] and known["file"] != source["file"]:
        raise UserError(f"{subject} was made from {known['file']}: choose another subject= for {source['file']}.")
    if not known and (subject / "images").exists():
        raise UserError(f"{subject} has pictures that were not made from a video: choose another subject=.")
