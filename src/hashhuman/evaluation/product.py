"""What a product of an evaluation is: a table, pictures, a video, a file to take away.

A product is a class of its own file and an entry of its own under `products` in `conf/eval/default.yaml`.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from jaxtyping import Bool
from torch import Tensor

from hashhuman.body import visibility
from hashhuman.body.surface import vertex_areas
from hashhuman.errors import UserError
from hashhuman.evaluation.metrics.protocols import Comparison

T = TypeVar("T")
Beside = Callable[..., Any]  # beside(function, *arguments) calls the function in another thread

TITLES = {  # of the splits
    "train": "training views",
    "heldout": "held-out frames",
    "novel_view": "novel views",
    "novel_pose": "novel poses",
}
VISIBILITY_FRAMES = 100  # training pictures, evenly spaced, that tell which of the body was seen


@dataclasses.dataclass(frozen=True)
class Made:
    """What a product has made."""

    files: Mapping[str, Path] = dataclasses.field(default_factory=dict)  # label: file or folder, told to the user
    report: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # entries for `Evaluation.report`
    images: Mapping[str, Path] = dataclasses.field(default_factory=dict)  # name: PNG, for the run's loggers
    videos: Mapping[str, Path] = dataclasses.field(default_factory=dict)  # name: mp4, for the run's loggers


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One evaluation, as far as it has come."""

    avatar: Any  # a `hashhuman.avatar.protocol.Avatar` in its evaluation mode
    datamodule: Any  # a `hashhuman.data.datamodule.SubjectDataModule`
    folder: Path  # where all files go
    report: dict[str, Any]  # what `metrics.json` holds: protocol, columns, device, splits, and what products added
    made: dict[str, Made]  # by the products so far, under their names

    @functools.cached_property
    def seen(self) -> Bool[Tensor, "V"]:
        """The body's vertices that at least one training picture saw. Computed once, when it is first asked for."""
        subject = self.datamodule.subject
        views = spread(self.datamodule.splits["train"], VISIBILITY_FRAMES)
        return visibility.seen_vertices(
            subject.template().to(self.avatar.device),
            [(subject.camera(view.camera), subject.pose(view.frame)) for view in views],
        )

    @functools.cached_property
    def unseen_surface(self) -> float:
        """The share of the body's surface, by area, that no training picture saw."""
        template = self.datamodule.subject.template().to(self.avatar.device)
        area = vertex_areas(template.vertices, template.faces)
        return float((area * ~self.seen).sum() / area.sum())


@dataclasses.dataclass(frozen=True)
class MeasuredPicture:
    """A rendered picture with its figures."""

    split: str
    name: str  # CC/FFFFFF
    index: int  # among the pictures of its split that are evaluated
    count: int  # of those pictures
    comparison: Comparison
    figures: Mapping[str, float]  # by column

    def among(self, most: int | str) -> bool:
        """Whether it is one of `most` evenly spaced pictures of its split; "all" for all, as `picture_count` checks."""
        return not isinstance(most, int) or self.index in spread(range(self.count), most)


@runtime_checkable
class Product(Protocol):
    """Makes something of an avatar that is evaluated. Subclasses define `make`, and the others where they need them.

    What a product lacks, such as a package, it says in its constructor: that runs before training.
    """

    def picture(self, evaluation: Evaluation, picture: MeasuredPicture, beside: Beside) -> None:
        """Is called for every picture when it has been measured; slow work on it goes through `beside`."""

    def make(self, evaluation: Evaluation) -> Made:
        """Is called when all pictures have been measured, product after product in the config's order."""
        ...

    def finish(self, evaluation: Evaluation) -> None:
        """Is called when all products have been made, for files that show what every product reported."""


def spread(items: Sequence[T], most: int | None) -> list[T]:
    """At most `most` of the items (None: all), evenly spaced from the first to the last."""
    if most is None or len(items) <= most:
        return list(items)
    return [items[i * (len(items) - 1) // max(most - 1, 1)] for i in range(most)]


def picture_count(option: str, value: int | str) -> int | str:
    """The value of an option that says how many pictures of each split; raises UserError unless it is one, or "all"."""
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise UserError(f"{option}={value} must be a number of pictures, or all.")


def remove_other_pictures(folder: Path, kept: Collection[Path]) -> None:
    """Deletes the PNG files at any depth of a folder that are not among `kept`, and folders that this leaves empty."""
    for path in set(folder.rglob("*.png")) - set(kept):
        path.unlink()
    for path in sorted((path for path in [folder, *folder.rglob("*")] if path.is_dir()), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()
