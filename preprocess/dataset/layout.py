"""What every data set hands out: the base class of their readers."""

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hashhuman.errors import UserError
from hashhuman.io.listing import listed
from preprocess.body_fit.dataset import GivenPoses
from preprocess.frames.decode import PICTURES
from preprocess.frames.lens import Lens
from preprocess.frames.recordings import count_pictures
from preprocess.masks.given import GivenMask

HELD_OUT = 10  # without published splits, one of so many pictures is held out: the middle one

Splits = dict[str, list[int]]
"""Numbers of pictures, from 0: `train`, `heldout` (poses between those of training) and `novel_pose`."""


class Dataset(abc.ABC):
    """A recording of one person with all that others have measured in it.

    Args:
        folder: the recording's.

    Every method raises UserError for a file that is missing or malformed.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder).expanduser()

    def settings(self) -> dict[str, Any]:
        """What determines the results besides the files, as JSON."""
        own = {name: value for name, value in vars(self).items() if not name.startswith("_") and name != "folder"}
        return {"class": type(self).__qualname__, **own}

    @abc.abstractmethod
    def pictures(self) -> Path:
        """The video, or the folder of pictures."""

    @abc.abstractmethod
    def lens_files(self) -> list[Path]:
        """The files that `lens` reads."""

    @abc.abstractmethod
    def lens(self) -> Lens:
        """The lens of pictures and masks."""

    @abc.abstractmethod
    def mask_files(self) -> list[Path]:
        """The files that `mask` reads."""

    @abc.abstractmethod
    def mask(self, number: int) -> GivenMask | None:
        """The mask of a picture, as filmed; None if there is none."""

    @abc.abstractmethod
    def pose_files(self) -> list[Path]:
        """The files that `poses` reads."""

    @abc.abstractmethod
    def poses(self) -> GivenPoses:
        """SMPL's poses."""

    @abc.abstractmethod
    def splits(self) -> Splits:
        """Which pictures train and which are tested."""

    def sex(self) -> str | None:
        """Of the SMPL that was fitted; None if that is unknown."""
        return None

    def file(self, name: str) -> Path:
        """A file of the folder that must exist."""
        path = self.folder / name
        if not self.folder.is_dir():
            raise UserError(f"There is no folder {self.folder}: video= must name the folder of the recording.")
        if not path.is_file():
            raise UserError(f"{path} does not exist, and is part of this data set: video= must name its folder.")
        return path

    def picture_files(self, name: str = "images") -> list[Path]:
        """The pictures in a folder of the recording, in natural order; at least one."""
        folder = self.folder / name
        found = listed(folder, PICTURES)
        if not found:
            raise UserError(f"{folder} holds no pictures: video= must name the folder of the recording.")
        return found


def sex_in_name(folder: Path) -> str | None:
    """`female` or `male`, with which PeopleSnapshot's recordings are called; None for other names."""
    return next((sex for sex in ("female", "male") if folder.name.startswith(f"{sex}-")), None)


def published(splits: Mapping[str, Mapping[str, Sequence[int]]], folder: Path) -> Splits | None:
    """The splits that are stated for a recording, by its folder's name; None if none are.

    Args:
        splits: by the recording's name, [first, last, step] of `train` and `test`, the last one included.
        folder: of the recording.

    Raises UserError for splits of another form, and if a picture is in both.
    """
    if folder.name not in splits:
        return None
    stated = splits[folder.name]
    whole = all(len(row) == 3 and row[2] > 0 for row in stated.values())
    if stated.keys() != {"train", "test"} or not whole:
        raise UserError(f"preprocess.dataset.splits.{folder.name} must hold train and test as [first, last, step].")
    train, test = (list(range(first, last + 1, step)) for first, last, step in (stated["train"], stated["test"]))
    if both := set(train) & set(test):
        raise UserError(f"preprocess.dataset.splits.{folder.name}: picture {min(both)} trains and is tested.")
    return {"train": train, "heldout": [], "novel_pose": test}


def held_out(count: int) -> Splits:
    """Splits of a recording of so many pictures for which none are published: every tenth is held out."""
    held = list(range(HELD_OUT // 2, count, HELD_OUT))
    return {"train": sorted(set(range(count)) - set(held)), "heldout": held, "novel_pose": []}


def pictures_in(recording: Path) -> int:
    """How many pictures a recording has."""
    count = count_pictures(recording)
    if not count:
        raise UserError(f"{recording} does not say how many pictures it has: is it the video of this data set?")
    return count
