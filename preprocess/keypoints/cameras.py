"""Stage 2 for several cameras: the points of the same person in every camera."""

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from rich.progress import Progress

from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.io.assets import Asset
from hashhuman.io.files import atomic_path
from hashhuman.io.journal import Journal
from preprocess.frames.images import image_paths
from preprocess.keypoints.movenet import MoveNets
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.keypoints.same_person import same_person
from preprocess.keypoints.search import find_people
from preprocess.keypoints.tracks import choose
from preprocess.keypoints.triangulate import triangulated_world_points
from preprocess.multiview.views import open_view
from preprocess.stage import Stage, unfinished

Person = int | Sequence[float] | None


class CameraKeypoints(Stage):
    """Runs a keypoints stage on every camera.

    The person to follow is chosen in the first camera. In the others, the calibration tells who is the same person.

    Args:
        detector: makes the stage for one camera (`BlazePoseKeypoints`); called with `person`.
        person: whom to follow in the first camera; see `tracks.choose`.
        people: whom to follow in another camera, by its number, if the calibration identifies somebody else.
        triangulate: replace the first camera's metric points, which the body is fitted to, by points triangulated from
            all cameras. Otherwise they stay the network's estimate from the first camera alone.
        every: the detector sees every n-th picture.
        force: run even if nothing has changed.
    """

    name: ClassVar[str] = "keypoints"

    def __init__(
        self,
        detector: Callable[..., Stage],
        person: Person = None,
        people: Mapping[int, Person] | None = None,
        triangulate: bool = True,
        every: int = 5,
        force: bool = False,
    ):
        if every < 1:
            raise UserError(f"preprocess.keypoints.every={every} must be at least 1.")
        self.detector, self.person, self.people = detector, person, dict(people or {})
        self.triangulate, self.every, self.force = triangulate, every, force

    def inputs(self, subject: Path) -> list[Path]:
        return [subject / "images", subject / "annots.npy"]

    def outputs(self, subject: Path) -> list[Path]:
        return [subject / "keypoints", subject / "pictures" / self.name]

    def settings(self) -> dict[str, Any]:
        people = {str(camera): person for camera, person in self.people.items()}
        return {
            "person": self.person,
            "people": people,
            "triangulate": self.triangulate,
            "every": self.every,
            "detector": self.detector(person=self.person).settings(),
        }

    def missing(self) -> str | None:
        return self.detector(person=self.person).missing()

    def assets(self) -> list[Asset]:
        return self.detector(person=self.person).assets()

    def run(self, subject: Path, progress: Progress) -> str:
        with unfinished(self, subject).journal() as journal:
            return self._run(subject, journal, progress)

    def _run(self, subject: Path, journal: Journal, progress: Progress) -> str:
        reader = Subject(subject)
        summaries = []
        followed = None
        detector = MoveNets()
        for camera in range(len(reader.camera_names)):
            view = open_view(subject, camera)
            files = list(image_paths(view).values())
            tracks = find_people(files, self.every, detector, journal, progress, name=f"camera {camera}")
            if followed is None:
                followed = choose(tracks, self.person, reader.camera(camera).width, reader.camera(camera).height)
                person: Person = self.person
            elif camera in self.people:
                person = self.people[camera]
            else:
                track = same_person(followed, reader.camera(0), tracks, reader.camera(camera))
                person = track.detections[min(track.detections)].center.tolist()
            summaries.append(self.detector(person=person).run(view, progress).partition(";")[0])
            with atomic_path(points_path(subject, camera)) as path:
                shutil.copyfile(points_path(view), path)
        if self.triangulate:
            seen = [Keypoints.load(points_path(subject, camera)) for camera in range(len(summaries))]
            metric = triangulated_world_points(seen, [reader.camera(camera) for camera in range(len(summaries))])
            dataclasses.replace(seen[0], world_points=metric).save(points_path(subject))
        return "; ".join(dict.fromkeys(summaries)) + f" of {len(summaries)} cameras"
