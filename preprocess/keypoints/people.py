"""Stage 2 with the points of other tools: people in each picture, told apart by their tracks, and one of them taken."""

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import read_image
from preprocess.frames.monocular import image_paths
from preprocess.frames.video_index import Origin, origin
from preprocess.keypoints.folder import FolderKeypoints
from preprocess.keypoints.movenet import Detection
from preprocess.keypoints.points import NAMES, Keypoints
from preprocess.keypoints.tracks import Track, choose, link

# Where a point may start that a tool does not have: at another one's place, unseen. A fit reads all 33.
STAND_INS = {
    "eye_inner": "eye", "eye_outer": "eye", "eye": "nose", "ear": "nose", "mouth": "nose", "nose": "shoulder",
    "pinky": "wrist", "index": "wrist", "thumb": "wrist", "wrist": "elbow", "elbow": "shoulder", "shoulder": "hip",
    "heel": "ankle", "foot_index": "ankle", "ankle": "knee", "knee": "hip", "hip": "shoulder",
}  # fmt: skip
LEAST_POINTS = 3  # of one person


class PeopleKeypoints(FolderKeypoints):
    """Takes the points of one person out of files with many.

    Points that a tool lacks stay at visibility zero. Points are of the video's own pictures, as tools see them, or of
    images/00; files, of all of the video's pictures or of the subject's alone.

    Args:
        path: the tool's file or folder.
        person: who, if there are several: None takes the most prominent, a number counts from the left, a point [x, y]
            takes the nearest (pixels of images/00, where first seen).
        score: points of less confidence do not count.
        size: width and height of the pictures that the points are of; None: of the video's.
        lift, pictures: as for the folder.
    """

    def __init__(
        self,
        path: str,
        person: int | Sequence[float] | None = None,
        score: float = 0.3,
        size: Sequence[int] | None = None,
        lift: bool = True,
        pictures: int = 12,
        force: bool = False,
    ):
        super().__init__(path, lift, pictures, force)
        self.person = person if person is None or isinstance(person, int) else [float(x) for x in person]
        self.score, self.size = score, size if size is None else [int(n) for n in size]
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise UserError(f"preprocess.keypoints.size={self.size} is no width and height in pixels.")

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "person": self.person, "score": self.score, "size": self.size}

    @abc.abstractmethod
    def people(self, known: Origin) -> list[list[np.ndarray]]:
        """Of each of the subject's pictures, everybody's points (33, 3): x, y, confidence, the pixels being the file's.

        Raises UserError for files that are damaged, not this tool's, or of another video.
        """

    def _read(self, subject: Path, frames: list[int]) -> Keypoints:
        known = origin(subject)
        height, width = read_image(image_paths(subject)[frames[0]]).shape[:2]
        size = self.size or known.size or (width, height)
        ratio = np.array([width, height]) / size
        tracks: list[Track] = []
        for index, people in enumerate(self.people(known)):
            link(tracks, index, [d for d in (self._detection(p, ratio) for p in people) if d is not None])
        track = choose(tracks, self.person, width, height)
        keypoints = Keypoints.empty(frames)
        for row, detection in track.detections.items():
            keypoints.detected[row], keypoints.score[row] = True, detection.score
            keypoints.image_points[row] = detection.points
            keypoints.visibility[row] = keypoints.presence[row] = detection.point_scores
        keypoints.world_points[:] = np.nan
        fill_in(keypoints)
        return keypoints

    def _detection(self, points: np.ndarray, ratio: np.ndarray) -> Detection | None:
        """The person in pixels of the subject's pictures, or None if too little of them is seen."""
        confidence = np.where(points[:, 2] >= self.score, points[:, 2].clip(0, 1), 0)
        seen = confidence > 0
        if seen.sum() < LEAST_POINTS:
            return None
        places = (points[:, :2] + 0.5) * ratio - 0.5
        box = np.concatenate([places[seen].min(0), places[seen].max(0)])
        if not (box[2:] > box[:2]).all():
            return None
        return Detection(places, confidence, box, float(confidence[seen].mean()))


def fill_in(keypoints: Keypoints) -> None:
    """Gives points that are not seen a place: that between the pictures that show them, else that of a neighbour."""
    rows = np.flatnonzero(keypoints.detected)
    points, seen = keypoints.image_points[rows], keypoints.visibility[rows] > 0
    known = {name for i, name in enumerate(NAMES) if seen[:, i].any()}
    for i, name in enumerate(NAMES):
        source = _stand_in(name, known)
        chosen = seen[:, NAMES.index(source)]
        for axis in (0, 1):
            values = points[chosen, NAMES.index(source), axis]
            points[:, i, axis] = np.where(seen[:, i], points[:, i, axis], np.interp(rows, rows[chosen], values))
    keypoints.image_points[rows] = points


def _stand_in(name: str, known: set[str]) -> str:
    """The point itself if it is ever seen, else the nearest one along the body that is."""
    tried = set()
    while name not in known | tried:
        tried.add(name)
        side = "left" if "left" in name else "right"
        other = STAND_INS[name.replace(f"{side}_", "").replace(f"_{side}", "")]
        name = other if other in NAMES else f"{side}_{other}"
    return name if name in known else min(known)


def in_order(people: Mapping[int, list[np.ndarray]], known: Origin, path: Path) -> list[list[np.ndarray]]:
    """Of each of the subject's pictures, the people whom a file names by picture; it has an entry for every picture.

    As many entries as the subject has pictures are theirs in order; more are the video's. Raises UserError for fewer.
    """
    if len(people) == len(known.pictures):
        return [people[number] for number in sorted(people)]
    if set(known.pictures.tolist()) <= people.keys():
        return [people[number] for number in known.pictures.tolist()]
    raise UserError(
        f"{path} has points of {len(people)} pictures, neither of the subject's {len(known.pictures)} nor of all."
    )
