"""Joins the tracks of one person: trackers give a new number to somebody whom they lose and find again."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from preprocess.body_fit.source.motion import Motion

NEAR = 0.6  # of the person's height: a track farther from the keypoints is somebody else's
ALIKE = 0.2  # of the person's height: by how much two tracks of one person may lie differently off the keypoints


@dataclasses.dataclass(frozen=True)
class Seen:
    """Where the keypoints show the person in the N pictures."""

    middle: Float[np.ndarray, "N 2"]
    """Pixels."""
    height: Float[np.ndarray, "N"]
    """The longer side of the box around the visible points (pixels)."""
    known: Bool[np.ndarray, "N"]
    """Whether the picture has visible points."""

    @staticmethod
    def of(image: Float[np.ndarray, "N L 2"], visibility: Float[np.ndarray, "N L"]) -> "Seen":
        """From L points (pixels) and their visibility in [0, 1]."""
        middle = (visibility[..., None] * image).sum(1) / visibility.sum(1).clip(1e-6)[:, None]
        hidden = (visibility <= 0)[..., None]
        low, high = np.where(hidden, np.inf, image).min(1), np.where(hidden, -np.inf, image).max(1)
        known = np.asarray((visibility > 0).any(1))
        height = np.where(known, np.nan_to_num((high - low).max(1), posinf=0, neginf=0), 0)
        return Seen(middle, height.clip(1), known)


def group(seed: int, tracks: Sequence[tuple[Motion, Bool[np.ndarray, "N"]]], keypoints: Seen) -> list[int]:
    """The tracks of the person of track `seed`, that one first, then by their number of pictures.

    Another track is of the same person if both lie near the keypoints, and lie off them alike: a tool's position is
    that of the pelvis or of a box, not the middle of the points, but it is so in all its tracks.

    Args:
        seed: index of a track.
        tracks: each resampled to the N pictures, with a flag for each picture that it really has.
        keypoints: of the N pictures.
    """
    away = [_off_keypoints(motion, known, keypoints) for motion, known in tracks]
    if not len(away[seed]) or np.linalg.norm(np.median(away[seed], 0)) > NEAR:
        return [seed]
    usual = np.median(away[seed], 0)
    same = [
        i
        for i, off in enumerate(away)
        if i != seed
        and len(off)
        and np.linalg.norm(np.median(off, 0)) <= NEAR
        and np.median(np.linalg.norm(off - usual, axis=1)) <= ALIKE
    ]
    return [seed, *sorted(same, key=lambda i: -int(tracks[i][1].sum()))]


def _off_keypoints(motion: Motion, known: Bool[np.ndarray, "N"], keypoints: Seen) -> Float[np.ndarray, "M 2"]:
    """The track's offset from the middle of the points, in heights, in the pictures that both have."""
    both = known & keypoints.known
    if motion.seen is None:
        return np.zeros((0, 2))
    return (motion.seen[both] - keypoints.middle[both]) / keypoints.height[both, None]


def join(motions: Sequence[Motion], apart: float) -> Motion:
    """One motion of several of the same person; where two have rows, the earlier in the list counts.

    Args:
        motions: with the same camera.
        apart: rows nearer than this in time (`Motion.at`) are of the same picture.
    """
    first = motions[0]
    taken, rows = first.at, [(first, np.arange(len(first.at)))]
    for motion in motions[1:]:
        free = np.flatnonzero(np.abs(motion.at[:, None] - taken).min(1) >= apart)
        if len(free):
            rows.append((motion, free))
            taken = np.concatenate([taken, motion.at[free]])
    order = np.argsort(taken, kind="stable")

    def stacked(name: str) -> np.ndarray | None:
        values = [getattr(motion, name) for motion, _ in rows]
        if any(value is None for value in values):
            return None
        count = min(value.shape[1] for value in values) if values[0].ndim > 1 else None  # the hands may be missing
        chosen = [value[which, :count] for value, (_, which) in zip(values, rows)]
        return np.concatenate(chosen)[order]

    lengths = np.array([len(which) for _, which in rows], float)
    size = min(len(motion.betas) for motion, _ in rows)
    betas = np.average([motion.betas[:size] for motion, _ in rows], axis=0, weights=lengths)
    fields = {name: stacked(name) for name in ("rotations", "transl", "joints", "hips", "points", "seen")}
    names = " and ".join(motion.track for motion, _ in rows)
    return dataclasses.replace(first, at=taken[order], betas=betas, track=names, **fields)
