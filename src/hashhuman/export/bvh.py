"""Writes a motion as a BVH file.

The format has no units, axes or rotation order, so they are chosen to be read the same everywhere: metres or
centimetres, y up; six channels at the root, whose offset is zero since some programs add its position channels to the
offset and others replace it; three rotation channels at all other joints; an end site at each joint without children.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from hashhuman.export.motion import Motion, Skeleton
from hashhuman.io.files import atomic_path

ORDER = "ZXY"  # of the rotation channels, as in most files: R = Rz Rx Ry
END = 0.05  # length of an end site (m)


class BvhFile:
    """`motion.bvh`: the filmed motion.

    Args:
        scale: units of the file in a metre: 1 for metres, 100 for centimetres.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, exports: Any, folder: Path) -> Path:
        """Writes the file and returns its path."""
        path = folder / "motion.bvh"
        with atomic_path(path) as sibling:
            sibling.write_text(bvh(exports.skeleton, exports.motion, self.scale))
        return path


def bvh(skeleton: Skeleton, motion: Motion, scale: float) -> str:
    """The content of the file. Frames are resampled to the motion's usual frame time, as the format needs."""
    motion = evenly(motion)
    angles = euler_degrees(motion.rotations)
    rows = np.concatenate([motion.root[:, None] * scale, angles], 1)  # the root's position comes first
    order = [0, *(1 + joint for joint in _depth_first(skeleton, 0))]
    lines = ["HIERARCHY", *_joint(skeleton, 0, scale, ""), "MOTION", f"Frames: {len(rows)}"]
    lines += [f"Frame Time: {motion.frame_time():.7f}"]
    lines += [" ".join(f"{value:.6f}" for value in row[order].ravel()) for row in rows]
    return "\n".join(lines) + "\n"


def euler_degrees(rotations: Float[np.ndarray, "F J 4"]) -> Float[np.ndarray, "F J 3"]:
    """Angles (degrees) in the channels' order, without jumps of a whole turn from one frame to the next."""
    flat = Rotation.from_quat(rotations.reshape(-1, 4)).as_euler(ORDER, degrees=True)
    return np.unwrap(flat.reshape(*rotations.shape[:2], 3), period=360, axis=0)


def evenly(motion: Motion) -> Motion:
    """The motion at even times, from its first to its last frame."""
    return motion.at(np.arange(round(motion.times[-1] / motion.frame_time()) + 1) * motion.frame_time())


def _depth_first(skeleton: Skeleton, joint: int) -> Iterator[int]:
    yield joint
    for child, parent in enumerate(skeleton.parents):
        if parent == joint:
            yield from _depth_first(skeleton, child)


def _joint(skeleton: Skeleton, joint: int, scale: float, indent: str) -> list[str]:
    children = [child for child, parent in enumerate(skeleton.parents) if parent == joint]
    offset = np.zeros(3) if joint == 0 else skeleton.offsets()[joint] * scale
    position = "Xposition Yposition Zposition " if joint == 0 else ""
    rotation = " ".join(f"{axis}rotation" for axis in ORDER)
    lines = [
        f"{indent}{'ROOT' if joint == 0 else 'JOINT'} {skeleton.names[joint]}",
        f"{indent}{{",
        f"{indent}  OFFSET {_numbers(offset)}",
        f"{indent}  CHANNELS {6 if joint == 0 else 3} {position}{rotation}",
    ]
    for child in children:
        lines += _joint(skeleton, child, scale, indent + "  ")
    if not children:
        along = skeleton.offsets()[joint]
        end = along / max(np.linalg.norm(along), 1e-9) * END * scale
        lines += [f"{indent}  End Site", f"{indent}  {{", f"{indent}    OFFSET {_numbers(end)}", f"{indent}  }}"]
    return [*lines, f"{indent}}}"]


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values)
