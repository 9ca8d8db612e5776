"""Identifies the same person in two calibrated cameras: the one whose points' rays intersect."""

from collections.abc import Sequence

import numpy as np

from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from preprocess.keypoints.tracks import Track
from preprocess.multiview.triangulation import project, projection, triangulate_linear

LEAST_SCORE = 0.3  # of a point that is used
LEAST_SHARE = 0.25  # of the longest time in common; a track with less is a passer-by, or agrees by chance


def same_person(track: Track, camera: Camera, others: Sequence[Track], other_camera: Camera) -> Track:
    """The track of the second camera that shows the same person as a track of the first camera.

    Each candidate's points are triangulated with those of `track`; the candidate with the smallest median reprojection
    error is chosen.

    Args:
        track: the person in the first camera.
        camera: the first camera.
        others: the candidates in the second camera, which records the same moments.
        other_camera: the second camera.

    Raises UserError if no candidate has a picture index in common with `track`.
    """
    P = np.stack([projection(camera), projection(other_camera)])
    common = [sorted(track.detections.keys() & other.detections.keys()) for other in others]
    longest = max(map(len, common), default=0)
    if longest == 0:
        raise UserError(
            "one camera shows nobody at the moments when the first shows the person: are the videos synchronised?"
        )
    errors = [
        _error(P, track, other, moments) if len(moments) >= LEAST_SHARE * longest else np.inf
        for other, moments in zip(others, common)
    ]
    return others[int(np.argmin(errors))]


def _error(P: np.ndarray, track: Track, other: Track, moments: Sequence[int]) -> float:
    """Median reprojection error over the size of the person in the picture; infinite if no point is seen by both."""
    pairs = [(track.detections[i], other.detections[i]) for i in moments]
    pixels = np.stack([np.concatenate([pair[k].points for pair in pairs]) for k in (0, 1)])
    sizes = np.stack([np.repeat([pair[k].size for pair in pairs], len(pairs[0][0].points)) for k in (0, 1)])
    scores = np.stack([np.concatenate([pair[k].point_scores for pair in pairs]) for k in (0, 1)])
    seen = (scores > LEAST_SCORE).all(0)
    if not seen.any():
        return np.inf
    points = triangulate_linear(P, pixels[:, seen], np.ones((2, seen.sum())))
    errors = np.linalg.norm(project(P, points) - pixels[:, seen], axis=-1) / sizes[:, seen]
    return float(np.median(errors))
