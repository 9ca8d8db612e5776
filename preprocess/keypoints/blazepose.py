"""Stage 2 by our own networks: MoveNet finds and identifies the person, BlazePose heavy estimates the pose."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich.progress import Progress

from hashhuman.errors import UserError
from hashhuman.io import threads
from hashhuman.io.assets import Asset
from hashhuman.io.files import read_rgb, write_image, write_image_fast
from hashhuman.io.journal import Arrays, Journal
from hashhuman.io.threads import cores
from preprocess.assets import BLAZEPOSE_HEAVY, MOVENET_MULTIPOSE
from preprocess.findings import ranges
from preprocess.frames.images import image_paths
from preprocess.keypoints import draw
from preprocess.keypoints.crop import MARGIN, Crop
from preprocess.keypoints.follow import Follower, follow, smooth_crops
from preprocess.keypoints.litert import require_litert
from preprocess.keypoints.movenet import MoveNets
from preprocess.keypoints.others import OtherPeople
from preprocess.keypoints.points import (
    Keypoints,
    body25_folder,
    keypoint_outputs,
    others_folder,
    points_path,
    segmentation_folder,
)
from preprocess.keypoints.pose_network import Pose, PoseNetwork, PoseNetworks
from preprocess.keypoints.search import find_people
from preprocess.keypoints.tracks import Track, choose, left_to_right
from preprocess.stage import Stage, unfinished

# Crops of the second pass are tighter (1.15 of the circle's diameter, not 1.25), since the person's position is known.
ZOOM = 1.15 / MARGIN


class BlazePoseKeypoints(Stage):
    """Follows one person and writes `keypoints/`: points in pixels and in metres, BODY_25 files and masks.

    Where others overlap the person, their pixels are taken out of the masks (`others.OtherPeople`).

    Args:
        person: whom to follow if there are several people; see `tracks.choose`. None: the most prominent; a number
            counts from the left; a point [x, y] takes the nearest (pixels of images/00, where a person first appears).
        score: the least probability of a person for a picture to count as detected.
        every: the detector sees every n-th picture; in between, each crop follows from the previous pose.
        smoothing: standard deviation, in pictures, of the Gaussian that smooths the crops for the second pass.
        mirror: average the network's outputs for each crop and its mirror image: half as fast, but more accurate.
        least_frames, least_fraction: at least this many pictures, and this fraction of all, must show the person.
        pictures: how many pictures to draw.
        force: run even if nothing has changed.
    """

    name: ClassVar[str] = "keypoints"
    version: ClassVar[int] = 2

    def __init__(
        self,
        person: int | Sequence[float] | None = None,
        score: float = 0.5,
        every: int = 5,
        smoothing: float = 2.0,
        mirror: bool = True,
        least_frames: int = 5,
        least_fraction: float = 0.1,
        pictures: int = 12,
        force: bool = False,
    ):
        if every < 1:
            raise UserError(f"preprocess.keypoints.every={every} must be at least 1.")
        self.person = person if person is None or isinstance(person, int) else [float(x) for x in person]
        self.score, self.every, self.smoothing, self.mirror = score, every, smoothing, mirror
        self.least_frames, self.least_fraction = least_frames, least_fraction
        self.pictures = pictures
        self.force = force

    @staticmethod
    def require() -> None:
        """Raises UserError without the package that runs the networks."""
        require_litert()

    def inputs(self, subject: Path) -> list[Path]:
        return [subject / "images" / "00"]

    def outputs(self, subject: Path) -> list[Path]:
        return [*keypoint_outputs(subject), subject / "pictures" / self.name]

    def settings(self) -> dict[str, Any]:
        names = ("person", "score", "every", "smoothing", "mirror", "least_frames", "least_fraction", "pictures")
        return {name: getattr(self, name) for name in names}

    def assets(self) -> list[Asset]:
        return [BLAZEPOSE_HEAVY, MOVENET_MULTIPOSE]

    def run(self, subject: Path, progress: Progress) -> str:
        with unfinished(self, subject).journal() as journal:
            return self._run(subject, journal, progress)

    def _run(self, subject: Path, journal: Journal, progress: Progress) -> str:
        detector, networks = MoveNets(), PoseNetworks()
        paths = image_paths(subject)
        files = list(paths.values())
        track, tracks = self._find(files, detector, subject, journal, progress)
        # The follower goes from picture to picture, beside the threads that estimate: it has half of the cores.
        follower = Follower(PoseNetwork(max(1, cores() // 2)), detector, track, self.every, self.score)
        keypoints = Keypoints.empty(list(paths))

        def estimate(numbered: tuple[int, Crop | None]) -> Arrays:
            row, crop = numbered
            mask = segmentation_folder(subject) / f"{files[row].stem}.png"

            def compute() -> Arrays:
                image = read_rgb(files[row])
                pose = crop and networks(image, crop.zoomed(ZOOM), self.mirror)
                write_image_fast(mask, pose.mask(*image.shape[:2]) if pose else np.zeros(image.shape[:2], np.uint8))
                return _row(pose) if pose else {}

            return journal.once(f"pose/{row}", compute, [mask])

        # This thread follows the person, a few pictures ahead of the threads that estimate the final poses.
        poses = threads.ordered(estimate, enumerate(smooth_crops(follow(follower, files, journal), self.smoothing)))
        for row, pose in progress.track(enumerate(poses), total=len(files), description="pose"):
            for name, values in pose.items():
                getattr(keypoints, name)[row] = values
        self._refuse_absent(int(keypoints.detected.sum()), len(files))
        others = OtherPeople(detector, networks, [each for each in tracks if each is not track], self.every)
        overlapped = others.separate(files, keypoints, segmentation_folder(subject), others_folder(subject), progress)
        keypoints.save(points_path(subject))
        keypoints.write_body25(body25_folder(subject))
        draw.draw_sequence(paths, keypoints, subject / "pictures" / self.name, self.pictures)
        several = f"; {len(tracks)} people found, see people.jpg" if len(tracks) > 1 else ""
        if overlapped:
            frames = keypoints.frames[overlapped].tolist()
            several += f"; somebody overlaps the person in {len(frames)} pictures ({ranges(frames)})"
        return f"person in {keypoints.detected.sum()} of {len(files)} pictures{several}"

    def _find(
        self, files: list[Path], detector: MoveNets, subject: Path, journal: Journal, progress: Progress
    ) -> tuple[Track, list[Track]]:
        """The person's track over every n-th picture, and the tracks of all people."""
        first = read_rgb(files[0])
        tracks = find_people(files, self.every, detector, journal, progress)
        track = choose(tracks, self.person, first.shape[1], first.shape[0])
        people = left_to_right(tracks)
        chosen = range(0, len(files), self.every)
        index = max(chosen, key=lambda i: (i in track.detections, sum(i in t.detections for t in tracks)))
        seen = [t for t in people if index in t.detections]
        drawn = draw.draw_people(read_rgb(files[index]), [t.detections[index] for t in seen], seen.index(track))
        write_image(subject / "pictures" / self.name / "people.jpg", drawn)
        return track, tracks

    def _refuse_absent(self, found: int, total: int) -> None:
        if found < max(self.least_frames, self.least_fraction * total):
            raise UserError(
                f"the person was found in only {found} of {total} pictures, too few for an avatar: keep the part of "
                f"the video that shows the whole person (preprocess.frames.start, stop), or choose another person "
                f"(preprocess.keypoints.person)."
            )


def _row(pose: Pose) -> Arrays:
    """A picture's row of `Keypoints`, by field."""
    fields = ("score", "image_points", "visibility", "presence", "world_points")
    values = {name: np.asarray(getattr(pose, name)) for name in fields}
    return {**values, "detected": np.array(True), "crop": pose.crop.image_from_crop}
