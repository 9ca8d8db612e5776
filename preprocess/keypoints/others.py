"""Finds who overlaps the followed person in the picture, and which pixels are whose.

The pose network's mask of a person tends to include whoever touches or covers them. Where the masks of two people claim
the same pixels, each connected piece goes to the one whose colours it has: the one in front.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from rich.progress import Progress

from hashhuman.data.spacing import evenly_spaced
from hashhuman.io import threads
from hashhuman.io.files import read_image, read_rgb, write_image_fast
from preprocess.keypoints.crop import Crop
from preprocess.keypoints.movenet import Detection, MoveNets
from preprocess.keypoints.points import Keypoints
from preprocess.keypoints.pose_network import Pose, PoseNetworks
from preprocess.keypoints.tracks import Track, link

SAME = 0.1  # of the person's size: a pose nearer to the followed one is the same person, found twice
ALIKE = 0.7  # IoU of two masks above which both are of one person
NEAR = 0.1  # of the person's box on each side: somebody there may reach into it
SURE = 0.5  # least probability of a person
LEAST = 0.002  # of the followed person's pixels: a smaller contested area is no overlap
_SOLID, _ABSENT = 128, 26  # 8-bit probabilities from which a pixel is a person's, and up to which it is not
_BINS = 8  # of each colour channel
_MODELLED = 12  # pictures from which the followed person's colours are learned


@dataclasses.dataclass(frozen=True)
class Colours:
    """How often each colour occurs on a person."""

    share: Float[np.ndarray, "B B B"]

    @staticmethod
    def of(pictures: Sequence[tuple[UInt8[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]]) -> "Colours":
        """From pictures (RGB), each with the pixels that count."""
        counts = np.zeros((_BINS,) * 3)
        for image, chosen in pictures:
            np.add.at(counts, tuple(_bins(image[chosen]).T), 1.0)
        blurred = counts
        for axis in range(3):  # neighbouring bins are nearly the same colour
            low, high = (np.roll(blurred, step, axis) for step in (1, -1))
            low[(slice(None),) * axis + (0,)] = 0
            high[(slice(None),) * axis + (-1,)] = 0
            blurred = 0.5 * blurred + 0.25 * (low + high)
        return Colours((blurred + 1e-2) / (blurred + 1e-2).sum())

    def log(self, pixels: UInt8[np.ndarray, "N 3"]) -> Float[np.ndarray, "N"]:
        """The logarithm of each colour's share."""
        return np.log(self.share[tuple(_bins(pixels).T)])


def _bins(pixels: UInt8[np.ndarray, "N 3"]) -> np.ndarray:
    return pixels.astype(int) * _BINS // 256


class OtherPeople:
    """Finds the people who overlap the followed one in a clip.

    Args:
        detector: finds people in a picture.
        network: estimates the pose and mask of each.
        tracks: of the other people, over every n-th picture.
        every: that n.
    """

    def __init__(self, detector: MoveNets, network: PoseNetworks, tracks: Sequence[Track], every: int):
        self.detector, self.network = detector, network
        self.tracks, self.every = tracks, every

    def separate(
        self, files: Sequence[Path], keypoints: Keypoints, masks: Path, folder: Path, progress: Progress
    ) -> list[int]:
        """Takes the others' pixels out of the followed person's masks, and writes the others' own.

        Args:
            files: the F pictures.
            keypoints: of the followed person.
            masks: folder of the followed person's masks, 8-bit probabilities, which are corrected.
            folder: for the probabilities of others in the pictures that they overlap in, named likewise.
            progress: shows a bar.

        Returns the rows of these pictures.
        """
        near = [row for row in np.flatnonzero(keypoints.detected).tolist() if self._may_meet(row, keypoints)]
        found = self._find(near, files, keypoints, progress)
        meeting = []
        for row, poses in sorted(found.items()):
            own = read_image(masks / f"{files[row].stem}.png")
            others = [mask for pose in poses if not _is_alike(mask := pose.mask(*own.shape), own)]
            claimed = np.max(others, axis=0) if others else np.zeros_like(own)
            both = (claimed >= _SOLID) & (own >= _SOLID)
            if both.sum() > LEAST * (own >= _SOLID).sum():
                meeting.append((row, own, claimed, both))
        if not meeting:
            return []
        rows = {row for row, *_ in meeting}
        alone = [row for row in np.flatnonzero(keypoints.detected).tolist() if row not in rows]
        followed = [
            (read_rgb(files[row]), read_image(masks / f"{files[row].stem}.png") > 255 - _ABSENT)
            for row in evenly_spaced(alone, _MODELLED)
        ]
        theirs = [
            (read_rgb(files[row]), (claimed > 255 - _ABSENT) & (own <= _ABSENT)) for row, own, claimed, _ in meeting
        ]
        colours = Colours.of(followed), Colours.of(theirs)
        for row, own, claimed, both in meeting:
            lost = _lost(read_rgb(files[row]), both, *colours) if followed else np.zeros_like(both)
            write_image_fast(masks / f"{files[row].stem}.png", np.where(lost, np.uint8(0), own))
            write_image_fast(folder / f"{files[row].stem}.png", np.where(both & ~lost, np.uint8(0), claimed))
        return sorted(rows)

    def _may_meet(self, row: int, keypoints: Keypoints) -> bool:
        """Whether somebody else was seen, a little before or after, where the followed person is now."""
        low, high = keypoints.image_points[row].min(0), keypoints.image_points[row].max(0)
        margin = NEAR * (high - low).max()
        return any(
            (other.box[:2] <= high + margin).all() and (other.box[2:] >= low - margin).all()
            for track in self.tracks
            for index, other in track.detections.items()
            if abs(index - row) <= 2 * self.every
        )

    def _find(
        self, rows: Sequence[int], files: Sequence[Path], keypoints: Keypoints, progress: Progress
    ) -> dict[int, list[Pose]]:
        """The poses of others in these pictures. Whom the detector misses, as when hidden, is looked for in between."""
        tracks: list[Track] = []
        poses: dict[int, Pose] = {}  # by the id() of the detection made from them

        def look(row: int) -> list[Pose]:
            image, seen = read_rgb(files[row]), []
            for detection in self.detector(image):
                first = self.network(image, Crop.of_detection(detection))
                if _is_same(first, keypoints, row):
                    continue
                pose = self.network(image, first.next_crop)
                if pose.score >= SURE and not _is_same(pose, keypoints, row):
                    seen.append(pose)
            return seen

        looks = progress.track(threads.ordered(look, rows), total=len(rows), description="other people")
        for row, seen in zip(rows, looks):
            detections = [Detection(pose.image_points, pose.presence, _box(pose), pose.score) for pose in seen]
            poses |= {id(detection): pose for detection, pose in zip(detections, seen)}
            link(tracks, row, detections)
        found: dict[int, list[Pose]] = {row: [] for row in rows}
        for track in tracks:
            known = sorted(track.detections)
            for row in known:
                found[row].append(poses[id(track.detections[row])])
            for before, after in itertools.pairwise(known):
                ends = [poses[id(track.detections[row])].next_crop for row in (before, after)]
                for row in range(before + 1, after):
                    if after - before <= 2 * self.every and row in found:
                        part = (row - before) / (after - before)
                        pose = self.network(read_rgb(files[row]), _between(ends[0], ends[1], part))
                        if pose.score >= SURE and not _is_same(pose, keypoints, row):
                            found[row].append(pose)
        return found


def _lost(
    image: UInt8[np.ndarray, "H W 3"], both: Bool[np.ndarray, "H W"], followed: Colours, others: Colours
) -> Bool[np.ndarray, "H W"]:
    """The connected pieces of the pixels claimed by both that have the others' colours."""
    count, labels = cv2.connectedComponents(both.astype(np.uint8))
    pieces = np.asarray(labels, np.int32)
    favour = np.bincount(pieces[both], others.log(image[both]) - followed.log(image[both]), minlength=count)
    favour[0] = 0
    return favour[pieces] > 0


def _box(pose: Pose) -> np.ndarray:
    return np.concatenate([pose.image_points.min(0), pose.image_points.max(0)])


def _is_same(pose: Pose, keypoints: Keypoints, row: int) -> bool:
    """Whether a pose is that of the followed person."""
    own = keypoints.image_points[row]
    size = float(np.linalg.norm(np.ptp(own, axis=0)))
    return float(np.median(np.linalg.norm(pose.image_points - own, axis=1))) < SAME * size


def _is_alike(a: np.ndarray, b: np.ndarray) -> bool:
    a, b = a >= _SOLID, b >= _SOLID
    return (a & b).sum() > ALIKE * (a | b).sum()


def _between(before: Crop, after: Crop, part: float) -> Crop:
    """The crop at a fraction of the time between two."""
    center = before.center + part * (after.center - before.center)
    return Crop(center, before.side ** (1 - part) * after.side**part, 0.0)
