"""Notices masks that belong to other pictures: the person's limbs lie beside them."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from hashhuman.errors import UserError
from preprocess.frames.video_index import video_index
from preprocess.keypoints.draw import BONES
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.shift import clear_shift, words
from preprocess.skeleton import NAMES

BESIDE = 0.0015  # of the person's height: right masks leave the limbs less far outside, on average
CLEARLY = 0.4  # the masks of other pictures must leave no more than this share
_SIDE = 192  # pixels: longer side of the masks that are kept
_SEEN = 0.5  # least visibility of a point that counts
_ALONG = np.linspace(0, 1, 6)  # where a limb is compared, from one end to the other
_FINE = ("eye", "mouth", "thumb", "pinky", "index")  # not limbs
_LIMBS = np.array([(NAMES.index(a), NAMES.index(b)) for a, b, _ in BONES if not any(word in a + b for word in _FINE)])


class ShiftCheck:
    """Collects the masks of a clip, and refuses those of other pictures.

    Args:
        keypoints: of the person; None: nothing is known.
        step: pictures of the video from one frame to the next.
    """

    def __init__(self, keypoints: Keypoints | None, step: float):
        self.keypoints, self.step = keypoints, step
        self.scale = 1.0  # of the masks that are kept
        self._outside: dict[int, Float[np.ndarray, "h w"]] = {}  # distance from each frame's mask (pixels)

    @staticmethod
    def of(subject: Path) -> "ShiftCheck":
        """For the masks of a subject, by its keypoints if it has any."""
        path = points_path(subject)
        return ShiftCheck(Keypoints.load(path) if path.exists() else None, video_index(subject).step)

    def add(self, frame: int, mask: Float[np.ndarray, "H W"]) -> None:
        """Takes the coverage of a frame; an empty mask tells nothing."""
        if self.keypoints is None or not mask.any():
            return
        self.scale = min(1.0, _SIDE / max(mask.shape))
        height, width = (max(1, round(length * self.scale)) for length in mask.shape)
        small = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        empty = (small <= 0.5).astype(np.uint8)
        if not empty.all():
            self._outside[frame] = cv2.distanceTransform(empty, cv2.DIST_L2, cv2.DIST_MASK_5)

    def refuse(self, path: Path) -> None:
        """Raises UserError if the masks, which come from `path`, fit clearly better moved by some pictures."""
        if self.keypoints is None:
            return
        count = len(self.keypoints.frames)
        limbs = {row: self._limbs(row) for row in np.flatnonzero(self.keypoints.detected).tolist()}

        def beside(shift: int) -> Float[np.ndarray, "N"]:
            """Mean distance of each row's limbs from the mask, in heights."""
            found = np.full(count, np.nan)
            for row in limbs:
                found[row] = self._beside(limbs[row], row + shift)
            return found

        if (shift := clear_shift(beside, BESIDE, CLEARLY)) != 0:
            raise UserError(
                f"The masks in {path} appear to be {words(shift, self.step)}: the person's limbs lie beside them, and "
                "would lie in them if they were moved so far; name the files by the numbers of the video's pictures, "
                "counted from 0."
            )

    def _limbs(self, row: int) -> Float[np.ndarray, "N 2"]:
        """Points along the visible limbs (pixels)."""
        assert self.keypoints is not None
        seen = (self.keypoints.visibility[row][_LIMBS] > _SEEN).all(1)
        start, end = np.moveaxis(self.keypoints.image_points[row][_LIMBS[seen]], 1, 0)
        return (start[:, None] + (end - start)[:, None] * _ALONG[:, None]).reshape(-1, 2)

    def _beside(self, limbs: Float[np.ndarray, "N 2"], other: int) -> float:
        """Mean distance of limbs from the mask of a row, in heights; NaN if either is unknown."""
        assert self.keypoints is not None
        frames = self.keypoints.frames
        if not 0 <= other < len(frames) or not len(limbs) or int(frames[other]) not in self._outside:
            return float("nan")
        outside = self._outside[int(frames[other])]
        x, y = ((limbs + 0.5) * self.scale).astype(int).clip(0, np.array(outside.shape[::-1]) - 1).T
        tall = float(np.ptp(limbs, axis=0).max()) * self.scale
        return float(outside[y, x].mean()) / max(tall, 1.0)
