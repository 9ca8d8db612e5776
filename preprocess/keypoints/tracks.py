"""Who is who: detections linked into one track a person, and the choice of the person to make an avatar of."""

from collections.abc import Sequence

import numpy as np

from hashhuman.errors import UserError
from preprocess.keypoints.movenet import Detection


class Track:
    """One person's detections, by the picture's index in the sequence."""

    def __init__(self, index: int, detection: Detection):
        self.detections = {index: detection}

    @property
    def last(self) -> int:
        """The newest picture."""
        return max(self.detections)

    def distance(self, index: int, detection: Detection) -> float:
        """How far a detection is from where this person was last seen, in diagonals of the larger box.

        A change of size counts as a move, so that somebody who walks past in front is not taken for the person.
        """
        last = self.detections[self.last]
        larger = max(last.size, detection.size)
        move = float(np.linalg.norm(detection.center - last.center)) / larger
        return move + 0.5 * abs(np.log(detection.size / last.size))

    def nearest(self, index: int) -> Detection:
        """The person's detection closest in time to a picture."""
        return self.detections[min(self.detections, key=lambda i: abs(i - index))]

    def near(self, index: int, reach: int) -> Detection | None:
        """The same, if it is at most `reach` pictures away."""
        return self.nearest(index) if any(abs(i - index) <= reach for i in self.detections) else None


def link(tracks: list[Track], index: int, detections: Sequence[Detection], reach: float = 0.35) -> None:
    """Adds a picture's detections to the tracks, nearest pairs first; a detection that fits no track begins one."""
    pairs = sorted(
        ((track.distance(index, d), i, j) for i, track in enumerate(tracks) for j, d in enumerate(detections)),
    )
    taken_tracks, taken = set(), set()
    for distance, i, j in pairs:
        if distance < reach and i not in taken_tracks and j not in taken:
            tracks[i].detections[index] = detections[j]
            taken_tracks.add(i)
            taken.add(j)
    tracks.extend(Track(index, d) for j, d in enumerate(detections) if j not in taken)


def prominence(track: Track, width: int, height: int) -> float:
    """How much of the video a person fills: area times centrality, summed over the pictures."""
    half = np.array([width, height]) / 2
    total = 0.0
    for d in track.detections.values():
        area = (d.box[2:] - d.box[:2]).prod() / (width * height)
        off = float(np.linalg.norm((d.center - half) / half)) / np.sqrt(2)
        total += d.score * area * (1 - 0.5 * min(off, 1.0))
    return total


def choose(tracks: Sequence[Track], person: int | Sequence[float] | None, width: int, height: int) -> Track:
    """The person meant by the user: the most prominent, the n-th from the left, or the nearest to a point (x, y).

    Raises UserError if nobody was found, or if there is no such person.
    """
    if not tracks:
        raise UserError("nobody was found in the video: is a whole person visible in it?")
    if person is None:
        return max(tracks, key=lambda t: prominence(t, width, height))
    if isinstance(person, int):
        ordered = left_to_right(tracks)
        if not 0 <= person < len(ordered):
            raise UserError(f"person={person}, but {len(ordered)} were found (0 is the leftmost).")
        return ordered[person]
    point = np.asarray(person, float)
    if point.shape != (2,):
        raise UserError(f"person={list(person)} is neither a number from the left nor a point [x,y] in pixels.")
    return min(tracks, key=lambda t: float(np.linalg.norm(t.detections[min(t.detections)].center - point)))


def left_to_right(tracks: Sequence[Track]) -> list[Track]:
    """Tracks by where they are first seen."""
    return sorted(tracks, key=lambda t: t.detections[min(t.detections)].center[0])
