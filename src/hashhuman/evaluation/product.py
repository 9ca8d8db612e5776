"""The interface of the products of an evaluation: tables, pictures, videos and exported files.

A product is one class in one file, and one entry under `products` in `conf/eval/default.yaml`.
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
from hashhuman.body.template import BodyPose
from hashhuman.errors import UserError
from hashhuman.evaluation.metrics.protocols import Comparison

T = TypeVar("T")
Submit = Callable[..., Any]  # submit(function, *arguments) calls the function in another thread

TITLES = {  # split: title
    "train": "training views",
    "heldout": "held-out frames",
    "novel_view": "novel views",
    "novel_pose": "novel poses",
}
VISIBILITY_FRAMES = 100  # the most training pictures, evenly spaced, that determine which vertices were seen


@dataclasses.dataclass(frozen=True)
class Made:
    """The results of a product."""

    files: Mapping[str, Path] = dataclasses.field(default_factory=dict)  # label: file or folder, printed at the end
    report: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # entries for `Evaluation.report`
    images: Mapping[str, Path] = dataclasses.field(default_factory=dict)  # name: PNG, for the run's loggers
    videos: Mapping[str, Path] = dataclasses.field(default_factory=dict)  # name: mp4 or gif, for the run's loggers
    meshes: Mapping[str, Path] = dataclasses.field(default_factory=dict)  # name: GLB, for the run's loggers
    pages: Mapping[str, Path] = dataclasses.field(default_factory=dict)  # name: HTML, for the run's loggers


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """An evaluation and its results so far."""

    avatar: Any  # a `hashhuman.avatar.protocol.Avatar` in evaluation mode
    datamodule: Any  # a `hashhuman.data.datamodule.SubjectDataModule`
    folder: Path  # the folder of all files
    report: dict[str, Any]  # content of `metrics.json`: protocol, columns, device, splits, and entries of products
    made: dict[str, Made]  # name of each product so far: its results
    run: Path | None = None  # the run's folder; None: the avatar is evaluated outside of any

    def pose(self, frame: int) -> BodyPose:
        """The pose of a frame, by its number, as training has corrected it."""
        return self.avatar.refined_pose(self.datamodule.subject.pose(frame), frame)

    @functools.cached_property
    def seen(self) -> Bool[Tensor, "V"]:
        """Which of the body's vertices are visible in at least one training picture. Computed at the first access."""
        subject = self.datamodule.subject
        views = spread(self.datamodule.splits["train"], VISIBILITY_FRAMES)
        return visibility.seen_vertices(
            subject.template().to(self.avatar.device),
            [(subject.camera(view.camera), self.pose(view.frame)) for view in views],
        )

    @functools.cached_property
    def unseen_surface(self) -> float:
        """The share of the body's surface, by area, that is visible in no training picture; in [0, 1]."""
        template = self.datamodule.subject.template().to(self.avatar.device)
        area = vertex_areas(template.vertices, template.faces)
        return float((area * ~self.seen).sum() / area.sum())


@dataclasses.dataclass(frozen=True)
class MeasuredPicture:
    """A rendered picture with its metrics."""

    split: str
    name: str  # CC/FFFFFF: camera and frame
    index: int  # index among the evaluated pictures of its split
    count: int  # number of these pictures
    comparison: Comparison
    figures: Mapping[str, float]  # column: value
    fitted: Comparison | None = None  # with the pose fitted to the picture itself (`eval.fit_poses`)

    def among(self, most: int | str) -> bool:
        """Whether it is one of `most` evenly spaced pictures of its split; "all" selects every picture."""
        return not isinstance(most, int) or self.index in spread(range(self.count), most)


@runtime_checkable
class Product(Protocol):
    """A product of an evaluation. Subclasses define `make`, and the other methods if they need them.

    The constructor runs before training. It raises UserError if, for example, a package is missing.
    """

    def check(self, subject: Any) -> None:
        """Called before training and before evaluation; raises UserError if the `Subject` lacks what it needs."""

    def picture(self, evaluation: Evaluation, picture: MeasuredPicture, submit: Submit) -> None:
        """Called after the metrics of each picture were computed. Slow work on the picture should go to `submit`."""

    def make(self, evaluation: Evaluation) -> Made:
        """Called after the metrics of all pictures were computed, product by product in the config's order."""
        ...

    def finish(self, evaluation: Evaluation) -> None:
        """Called after all products were made, for files that show what every product reported."""


def spread(items: Sequence[T], most: int | None) -> list[T]:
    """Selects at most `most` of the items (None: all), evenly spaced from the first to the last."""
    if most is None or len(items) <= most:
        return list(items)
    return [items[i * (len(items) - 1) // max(most - 1, 1)] for i in range(most)]


def picture_count(option: str, value: int | str) -> int | str:
    """Returns the value of an option that is a number of pictures or "all".

    Raises:
        UserError: for any other value; `option` is the option's name, for the message.
    """
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise UserError(f"{option}={value} must be a number of pictures, or all.")


def remove_other_pictures(folder: Path, kept: Collection[Path]) -> None:
    """Deletes all PNG files at any depth of a folder that are not in `kept`, and folders that are empty afterwards."""
    for path in set(folder.rglob("*.png")) - set(kept):
        path.unlink()
    for path in sorted((path for path in [folder, *folder.rglob("*")] if path.is_dir()), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()
