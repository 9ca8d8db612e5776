"""Stage 2 with the points of other tools: links the people in each picture into tracks, and takes one of them."""

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import read_image
from preprocess.frames.images import image_paths
from preprocess.frames.numbering import numbers_in, rows_of_pictures
from preprocess.frames.video_index import VideoIndex, video_index
from preprocess.keypoints.folder import FolderKeypoints
from preprocess.keypoints.movenet import Detection
from preprocess.keypoints.points import Keypoints
from preprocess.keypoints.tracks import Track, choose, link
from preprocess.skeleton import NAMES

# For a point that a tool lacks: the point whose position it gets, with visibility zero, since a fit reads all 33.
STAND_INS = {
    "eye_inner": "eye", "eye_outer": "eye", "eye": "nose", "ear": "nose", "mouth": "nose", "nose": "shoulder",
    "pinky": "wrist", "index": "wrist", "thumb": "wrist", "wrist": "elbow", "elbow": "shoulder", "shoulder": "hip",
    "heel": "ankle", "foot_index": "ankle", "ankle": "knee", "knee": "hip", "hip": "shoulder",
}  # fmt: skip
LEAST_POINTS = 3  # of a person who counts as detected


class PeopleKeypoints(FolderKeypoints):
    """Takes one person's points from files with several people.

    The files may cover all pictures of the video, or only the subject's pictures. Points that the tool lacks get
    visibility zero.

    Args:
        path: the tool's file or folder.
        person: whom to take if there are several people; see `tracks.choose`.
        score: points with less confidence are ignored.
        size: width and height (pixels) of the pictures in which the points were detected; None: those of the video.
        lift, pictures, force: as for `FolderKeypoints`.
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
            raise UserError(f"preprocess.keypoints.size={self.size} must be [width,height] in pixels.")

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "person": self.person, "score": self.score, "size": self.size}

    @abc.abstractmethod
    def people(self, index: VideoIndex) -> list[list[np.ndarray]]:
        """The points of all people in each of the subject's pictures.

        Args:
            index: which pictures of the video the subject has.

        Returns:
            For each picture, a list of (33, 3) arrays: x and y in the file's pixels, confidence.

        Raises UserError if a file is damaged, not this tool's, or belongs to another video.
        """

    def _read(self, subject: Path, frames: list[int]) -> Keypoints:
        index = video_index(subject)
        height, width = read_image(image_paths(subject)[frames[0]]).shape[:2]
        size = self.size or index.size or (width, height)
        ratio = np.array([width, height]) / size
        tracks: list[Track] = []
        for row, people in enumerate(self.people(index)):
            link(tracks, row, [d for d in (self._detection(p, ratio) for p in people) if d is not None])
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
        """A person in pixels of the subject's pictures; None if too few points were detected or their box is empty."""
        known = np.asarray(np.isfinite(points).all(1))  # some tools write NaN for whom they have lost
        points = np.where(known[:, None], points, 0)
        confidence = np.where(points[:, 2] >= self.score, points[:, 2].clip(0, 1), 0)
        seen = confidence > 0
        if seen.sum() < LEAST_POINTS:
            return None
        pixels = (points[:, :2] + 0.5) * ratio - 0.5
        box = np.concatenate([pixels[seen].min(0), pixels[seen].max(0)])
        if not (box[2:] > box[:2]).all():
            return None
        return Detection(pixels, confidence, box, float(confidence[seen].mean()))


def fill_in(keypoints: Keypoints) -> None:
    """Sets, in place, the positions of points that were not detected; their visibility stays zero.

    A point is interpolated between the pictures that show it. One that no picture shows follows its nearest neighbour
    along the body (`STAND_INS`).
    """
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
    """The point itself if it is among the known ones, else the nearest known point along the body."""
    tried = set()
    while name not in known | tried:
        tried.add(name)
        side = "left" if "left" in name else "right"
        other = STAND_INS[name.replace(f"{side}_", "").replace(f"_{side}", "")]
        name = other if other in NAMES else f"{side}_{other}"
    return name if name in known else min(known)


def match_pictures(
    people: Mapping[int, list[np.ndarray]], index: VideoIndex, path: Path, complete: bool = True,
    first: int | None = None,
) -> list[list[np.ndarray]]:  # fmt: skip
    """The people in each of the subject's pictures, from a tool's people by picture number.

    Args:
        people: by picture number; a picture without people has an empty entry, or none if not `complete`.
        index: which pictures of the video the subject has.
        path: for the error message.
        complete, first: as for `rows_of_pictures`.

    Raises UserError if pictures of the subject are missing.
    """
    numbers = sorted(people)
    rows = rows_of_pictures(numbers, len(numbers), index, str(path), complete, first)
    return [[] if row is None else people[numbers[row]] for row in rows]


def numbered(files: Sequence[Path]) -> dict[int, Path]:
    """The files by the numbers in their names; by position if the names have none, or two have the same.

    Args:
        files: in natural order.
    """
    numbers = numbers_in([file.stem for file in files])
    return dict(zip(range(len(files)) if numbers is None else numbers, files))
