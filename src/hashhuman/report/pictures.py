"""The pictures that a report shows: truth, render and error of one camera and frame, in whole size as JPEG."""

import dataclasses
from collections.abc import Sequence
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any

from hashhuman.evaluation.metrics.image import bounding_box
from hashhuman.evaluation.product import MeasuredPicture
from hashhuman.io.inside import relative_name

FOLDER = "report"  # in the folder of the evaluation
KINDS = ("truth", "render", "error")
Box = tuple[int, int, int, int]  # top, left, bottom, right (pixels)


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Truth, render and error of one measured picture."""

    split: str
    name: str  # CC/FFFFFF: camera and frame
    size: tuple[int, int]  # height and width (pixels)
    box: Box  # what is worth looking at: the person, and all that was rendered

    @classmethod
    def of(cls, picture: MeasuredPicture) -> "Pictures":
        """Those of a picture that has just been measured."""
        mask, alpha = picture.comparison.mask, picture.comparison.alpha
        covered = (mask > 0) | (alpha > 0.5)
        longest = max(side.stop - side.start for side in bounding_box(covered))
        rows, columns = bounding_box(covered, margin=10 + longest // 20)
        height, width = mask.shape
        return cls(picture.split, picture.name, (height, width), (rows.start, columns.start, rows.stop, columns.stop))

    @classmethod
    def read(cls, entry: dict[str, Any], source: Path) -> "Pictures":
        """Those of an entry of a `metrics.json`. Raises UserError, TypeError or ValueError if it is none."""
        split, name = str(entry["split"]), str(entry["name"])
        relative_name(f"{split}/{name}", source)
        height, width = map(int, entry["size"])
        top, left, bottom, right = map(int, entry["box"])
        if not (0 <= top < bottom <= height and 0 <= left < right <= width):
            raise ValueError(f"the box of {name} lies outside the picture")
        return cls(split, name, (height, width), (top, left, bottom, right))

    @property
    def entry(self) -> dict[str, Any]:
        """What `read` reads."""
        return {"split": self.split, "name": self.name, "size": list(self.size), "box": list(self.box)}

    def path(self, kind: str) -> PurePosixPath:
        """The file of one of `KINDS`, relative to the folder of the evaluation."""
        return PurePosixPath(FOLDER, self.split, f"{self.name.replace('/', '_')}_{kind}.jpg")


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box around some boxes."""
    tops, lefts, bottoms, rights = zip(*boxes)
    return min(tops), min(lefts), max(bottoms), max(rights)


def aspect(box: Box) -> float:
    """The width of a box over its height."""
    top, left, bottom, right = box
    return (right - left) / (bottom - top)


def crop_style(box: Box) -> str:
    """CSS of the element that shows the part of a picture in a box."""
    top, left, bottom, right = box
    return f"aspect-ratio: {right - left} / {bottom - top}"


def image_style(size: tuple[int, int], box: Box) -> str:
    """CSS of a whole picture within such an element."""
    (_, width), (top, left, bottom, right) = size, box
    across, down = 100 / (right - left), 100 / (bottom - top)
    return f"width: {width * across:.3f}%; left: {-left * across:.3f}%; top: {-top * down:.3f}%"


def slider(left: tuple[str, str], right: Sequence[tuple[str, str]], size: tuple[int, int], box: Box, name: str) -> str:
    """Two pictures above each other, and a handle that uncovers one or the other.

    Args:
        left: label and URL of the picture to the left of the handle.
        right: those of the pictures that may be to its right; the first is shown.
        size: of the whole pictures (pixels).
        box: the part to show.
        name: what the pictures are of.
    """
    style = image_style(size, box)
    under = "".join(
        f'<img data-kind="{escape(label, quote=True)}" src="{url}" alt="{escape(f"{name}, {label}", quote=True)}" '
        f'style="{style}"{" hidden" if i else ""}>'
        for i, (label, url) in enumerate(right)
    )
    label, url = left
    over = f'<img src="{url}" alt="{escape(f"{name}, {label}", quote=True)}" style="{style}">'
    return layers(under, over, box, f"how much of {name} is {label}")


def layers(under: str, over: str, box: Box, label: str) -> str:
    """What lies to the right and, above it, to the left of a handle.

    Args:
        under, over: `<img>` elements with `image_style`.
        box: the part of the pictures to show.
        label: what the handle chooses.
    """
    return (
        f'<div class="slider" style="{crop_style(box)}">{under}<div class="over">{over}</div>'
        '<span class="handle"></span><input type="range" min="0" max="100" step="any" value="50" '
        f'aria-label="{escape(label, quote=True)}"></div>'
    )


def moving(name: str, url: str, suffix: str) -> str:
    """The element that plays a video; `suffix` is that of its file (.mp4 or .gif)."""
    if suffix == ".gif":
        return f'<img src="{url}" alt="{escape(name, quote=True)}">'
    return f'<video controls loop muted autoplay playsinline src="{url}"></video>'
