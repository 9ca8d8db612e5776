"""Which of the people whom one camera sees is the person whom another follows: the one whose points meet in space."""

from collections.abc import Sequence

import numpy as np

from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from preprocess.keypoints.tracks import Track
from preprocess.multiview.triangulation import intersect, project, projection

LEAST_SCORE = 0.3  # of a point that counts
LEAST_SHARE = 0.25  # of the longest common stretch: shorter ones are of passers-by, or agree by chance


def same_person(track: Track, camera: Camera, others: Sequence[Track], other_camera: Camera) -> Track:
    """The track of `others` that shows the person of `track`, seen by two calibrated cameras at the same moments.

    Rays of the same point of one person meet; the error is how far, in pixels, the points nearest to both rays are seen
    from where they should be. Raises UserError if no track shares a moment with `track`.
    """
    P = np.stack([projection(camera), projection(other_camera)])
    common = [sorted(track.detections.keys() & other.detections.keys()) for other in others]
    longest = max(map(len, common), default=0)
    if longest == 0:
        raise UserError("one camera sees nobody while the first sees the person: are the videos synchronised?")
    errors = [
        _error(P, track, other, moments) if len(moments) >= LEAST_SHARE * longest else np.inf
        for other, moments in zip(others, common)
    ]
    return others[int(np.argmin(errors))]


def _error(P: np.ndarray, track: Track, other: Track, moments: Sequence[int]) -> float:
    """Median reprojection error in units of the people's sizes; infinite where no point is seen by both."""
    pairs = [(track.detections[i], other.detections[i]) for i in moments]
    pixels = np.stack([np.concatenate([pair[k].points for pair in pairs]) for k in (0, 1)])
    sizes = np.stack([np.repeat([pair[k].size for pair in pairs], len(pairs[0][0].points)) for k in (0, 1)])
    scores = np.stack([np.concatenate([pair[k].point_scores for pair in pairs]) for k in (0, 1)])
    seen = (scores > LEAST_SCORE).all(0)
    if not seen.any():
        return np.inf
    points = intersect(P, pixels[:, seen], np.ones((2, seen.sum())))
    errors = np.linalg.norm(project(P, points) - pixels[:, seen], axis=-1) / sizes[:, seen]
    return float(np.median(errors))
