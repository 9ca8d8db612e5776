"""Links detections into one track for each person, and chooses the person to make an avatar of."""

from collections.abc import Sequence

import numpy as np

from hashhuman.errors import UserError
from preprocess.keypoints.movenet import Detection


class Track:
    """One person's detections, by the index of the picture in the sequence.

    Args:
        index, detection: the first one.
    """

    def __init__(self, index: int, detection: Detection):
        self.detections = {index: detection}

    @property
    def last(self) -> int:
        """The index of the latest detection."""
        return max(self.detections)

    def distance(self, index: int, detection: Detection) -> float:
        """The distance of a detection from this person's latest one, in diagonals of the larger box.

        A change of size adds to the distance, so that somebody who walks past in front is not taken for the person.
        """
        last = self.detections[self.last]
        larger = max(last.size, detection.size)
        move = float(np.linalg.norm(detection.center - last.center)) / larger
        return move + 0.5 * abs(np.log(detection.size / last.size))

    def nearest(self, index: int) -> Detection:
        """The detection closest in time to a picture."""
        return self.detections[min(self.detections, key=lambda i: abs(i - index))]

    def near(self, index: int, reach: int) -> Detection | None:
        """The detection closest in time to a picture, or None if it is more than `reach` pictures away."""
        return self.nearest(index) if any(abs(i - index) <= reach for i in self.detections) else None


def link(tracks: list[Track], index: int, detections: Sequence[Detection], reach: float = 0.35) -> None:
    """Adds the detections of a picture to the tracks, nearest pairs first. A detection that fits none starts a track.

    Args:
        tracks: so far; extended in place.
        index: the picture's, ascending from call to call.
        detections: in this picture.
        reach: the largest `Track.distance` of a detection that continues a track.
    """
    pairs = sorted(
        ((track.distance(index, d), i, j) for i, track in enumerate(tracks) for j, d in enumerate(detections)),
    )
    used_tracks, used = set(), set()
    for distance, i, j in pairs:
        if distance < reach and i not in used_tracks and j not in used:
            tracks[i].detections[index] = detections[j]
            used_tracks.add(i)
            used.add(j)
    tracks.extend(Track(index, d) for j, d in enumerate(detections) if j not in used)


def prominence(track: Track, width: int, height: int) -> float:
    """How prominent a person is: score times area times centrality of the detections, summed over the pictures."""
    half = np.array([width, height]) / 2
    total = 0.0
    for d in track.detections.values():
        area = (d.box[2:] - d.box[:2]).prod() / (width * height)
        distance = float(np.linalg.norm((d.center - half) / half)) / np.sqrt(2)
        total += d.score * area * (1 - 0.5 * min(distance, 1.0))
    return total


def choose(tracks: Sequence[Track], person: int | Sequence[float] | None, width: int, height: int) -> Track:
    """The track of the person whom the user means.

    Args:
        tracks: of all people.
        person: None: the most prominent; a number: counted from the left, from 0; [x, y]: the nearest to this point
            (pixels). Positions are those where a person first appears.
        width, height: of the pictures (pixels).

    Raises UserError if nobody was found, or if there is no such person.
    """
    if not tracks:
        raise UserError("nobody was found in the video: does it show a whole person?")
    if person is None:
        return max(tracks, key=lambda t: prominence(t, width, height))
    if isinstance(person, int):
        ordered = left_to_right(tracks)
        if not 0 <= person < len(ordered):
            raise UserError(f"person={person}, but {len(ordered)} were found: count them from 0, the leftmost.")
        return ordered[person]
    point = np.asarray(person, float)
    if point.shape != (2,):
        raise UserError(f"person={list(person)} is neither a number from the left nor a point [x,y] in pixels.")
    return min(tracks, key=lambda t: float(np.linalg.norm(t.detections[min(t.detections)].center - point)))


def left_to_right(tracks: Sequence[Track]) -> list[Track]:
    """The tracks, ordered by where the people first appear."""
    return sorted(tracks, key=lambda t: t.detections[min(t.detections)].center[0])
