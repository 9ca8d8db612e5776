"""Notices that a tool's pictures are numbered otherwise than the video's: its person strays from the keypoints."""

import numpy as np
from jaxtyping import Float

from preprocess.body_fit.source.join import Seen
from preprocess.body_fit.source.motion import Motion
from preprocess.shift import clear_shift

STRAY = 0.03  # of the person's height: how far a right motion may stray from its usual place beside the keypoints
CLEARLY = 0.4  # a shift must leave no more than this share of the straying


def shift_of(motion: Motion, at: Float[np.ndarray, "N"], keypoints: Seen) -> int:
    """By how many pictures the motion is late (negative: early), if the keypoints say so clearly, and otherwise 0.

    Only a person who moves now fast, now slowly, or turns back, tells.

    Args:
        motion: as read, with its positions in the pictures.
        at: the N pictures' numbers in the video.
        keypoints: of the N pictures.
    """
    if motion.seen is None or motion.seconds or len(motion.at) < 2:
        return 0
    return clear_shift(lambda shift: _strayed(motion, at + shift, keypoints), STRAY, CLEARLY, np.median)


def counts_frames(motion: Motion, at: Float[np.ndarray, "N"], keypoints: Seen) -> bool:
    """Whether the motion clearly numbers the subject's frames (0, 1, 2, ...) and not the video's pictures.

    So it is when a tool looked at the pictures in the subject's folder, of which some of the video's were left out.

    Args:
        motion, at, keypoints: as for `shift_of`.
    """
    frames = np.arange(float(len(at)))
    if motion.seen is None or motion.seconds or len(motion.at) < 2 or (at == frames).all():
        return False
    as_frames, as_pictures = _stray(motion, frames, keypoints), _stray(motion, at, keypoints)
    return as_frames <= STRAY < as_pictures and as_frames < CLEARLY * as_pictures


def _strayed(motion: Motion, at: Float[np.ndarray, "N"], keypoints: Seen) -> Float[np.ndarray, "N"]:
    """Distance of the person from their usual place beside the keypoints, in heights; NaN where it is unknown."""
    assert motion.seen is not None
    both = keypoints.known & (at >= motion.at[0]) & (at <= motion.at[-1])
    strayed = np.full(len(at), np.nan)
    if both.any():
        seen = np.stack([np.interp(at[both], motion.at, column) for column in motion.seen.T], -1)
        off = (seen - keypoints.middle[both]) / keypoints.height[both, None]
        strayed[both] = np.linalg.norm(off - np.median(off, 0), axis=1)
    return strayed


def _stray(motion: Motion, at: Float[np.ndarray, "N"], keypoints: Seen) -> float:
    """The median of that; infinite if it is known of few pictures."""
    strayed = _strayed(motion, at, keypoints)
    known = strayed[np.isfinite(strayed)]
    return float(np.median(known)) if len(known) >= 5 else float("inf")
