"""Stage 1 with a published data set: its pictures and its camera, and which of them train and which are tested."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

from rich.progress import Progress

from hashhuman.data.subject import SubjectWriter
from hashhuman.io.files import load_json
from preprocess.frames.container import VideoPicture
from preprocess.frames.lens import Lens
from preprocess.frames.monocular import VideoFrames
from preprocess.frames.notes import Notes


class FilmedDataset(Protocol):
    """What the stage asks of a data set."""

    def pictures(self) -> Path:
        """The video, or the folder of pictures. Raises UserError if there is none."""
        ...

    def lens_files(self) -> list[Path]:
        """The files that `lens` reads."""
        ...

    def lens(self) -> Lens:
        """The lens of the pictures. Raises UserError if its file is missing or malformed."""
        ...

    def splits(self) -> dict[str, list[int]]:
        """The numbers of the pictures, from 0, that are `train`, `heldout` and `novel_pose`; no other is read."""
        ...


class DatasetFrames(VideoFrames):
    """Writes those pictures of a data set that its splits name, the camera, and the splits.

    Args:
        dataset: has the pictures.
        start, stop, step, max_size, format, strict, force: as for `VideoFrames`.
    """

    def __init__(
        self,
        dataset: FilmedDataset,
        start: int = 0,
        stop: int | None = None,
        step: int = 1,
        max_size: int | None = None,
        format: Literal["png", "jpg"] = "png",
        strict: bool = False,
        force: bool = False,
    ):
        video = str(dataset.pictures())
        super().__init__(
            video, start=start, stop=stop, step=step, max_size=max_size, format=format, strict=strict, force=force
        )
        self.dataset, self.lens, self._splits = dataset, dataset.lens(), dataset.splits()

    def inputs(self, subject: Path) -> list[Path]:
        return [*super().inputs(subject), *self.dataset.lens_files()]

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "splits": self._splits}

    def run(self, subject: Path, progress: Progress) -> str:
        summary = super().run(subject, progress)
        # not `video_index`, which looks at the pictures, since those of a former run are still there
        pictures = load_json(subject / "subject.json")["video"]["pictures"]
        frame_of = {number: frame for frame, number in enumerate(pictures)}
        splits = {name: [frame_of[n] for n in numbers if n in frame_of] for name, numbers in self._splits.items()}
        SubjectWriter(subject).update_meta(splits=splits)
        counts = ", ".join(f"{len(frames)} {name}" for name, frames in splits.items() if frames)
        return f"{summary}; {counts}"

    def _selected(self, progress: Progress, notes: Notes) -> Iterator[VideoPicture]:
        named = {number for numbers in self._splits.values() for number in numbers}
        return (picture for picture in super()._selected(progress, notes) if picture.index in named)
