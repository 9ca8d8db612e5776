"""Camera paths, and their videos."""

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from hashhuman.io.video import write_video
from hashhuman.view.cameras import Viewpoint


class Cancelled(Exception):
    """The user has stopped the recording."""


@dataclasses.dataclass
class CameraPath:
    """Places through which a camera flies."""

    viewpoints: list[Viewpoint] = dataclasses.field(default_factory=list)

    def along(self, count: int) -> list[Viewpoint]:
        """`count` viewpoints from the first to the last one, on cubic splines, at equal times from each to the next.

        All have the first one's picture size.
        """
        first = self.viewpoints[0]
        if len(self.viewpoints) == 1:
            return [first] * count
        knots, times = np.arange(len(self.viewpoints)), np.linspace(0, len(self.viewpoints) - 1, count)
        positions, rotations = (
            np.stack([getattr(each, name) for each in self.viewpoints]) for name in ("position", "rotation")
        )
        places = CubicSpline(knots, positions, bc_type="natural")(times)
        turns = RotationSpline(knots, Rotation.from_matrix(rotations))(times)
        fovs = np.interp(times, knots, [each.fov for each in self.viewpoints])
        return [
            dataclasses.replace(first, position=place, rotation=turn, fov=float(fov))
            for place, turn, fov in zip(places, turns.as_matrix(), fovs)
        ]


def full_turn(viewpoint: Viewpoint, center: np.ndarray, count: int) -> list[Viewpoint]:
    """`count` viewpoints on a circle about the vertical axis through `center` (m), from `viewpoint` on."""
    made = []
    for angle in np.linspace(0, 2 * np.pi, count, endpoint=False):
        turn = Rotation.from_rotvec([0, angle, 0]).as_matrix()
        place = center + turn @ (viewpoint.position - center)
        made.append(dataclasses.replace(viewpoint, position=place, rotation=turn @ viewpoint.rotation))
    return made


def even(viewpoint: Viewpoint, height: int) -> Viewpoint:
    """The viewpoint with a picture of about this height; height and width are even, as H.264 needs them."""
    width = round(viewpoint.width * height / viewpoint.height)
    return viewpoint.sized(max(2, height - height % 2), max(2, width - width % 2))


def record(
    path: Path,
    pictures: Iterator[UInt8[np.ndarray, "H W 3"]],
    count: int,
    fps: int,
    cancelled: threading.Event,
    told: Callable[[float], None],
) -> Path:
    """Writes a video of `count` pictures, whole or not at all.

    Args:
        path: the mp4.
        pictures: made one after another.
        count: how many there are.
        fps: frames per second.
        cancelled: set by the user who wants no more of it.
        told: called with the share that is done, in [0, 1].

    Raises:
        Cancelled: if `cancelled` was set.
        UserError: if the file cannot be written.
    """

    def each() -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        for done, picture in enumerate(pictures, 1):
            if cancelled.is_set():
                raise Cancelled
            told(done / count)
            yield picture

    write_video(path, each(), fps)
    return path


def free_name(folder: Path) -> Path:
    """The first of path_1.mp4, path_2.mp4, ... that the folder does not hold."""
    return next(path for number in itertools.count(1) if not (path := folder / f"path_{number}.mp4").exists())
