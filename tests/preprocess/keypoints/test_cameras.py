"""The keypoints stage for several cameras."""

import numpy as np
from rich.progress import Progress

from hashhuman.data.subject import Subject
from preprocess.keypoints import cameras as keypoint_cameras
from preprocess.keypoints.cameras import CameraKeypoints
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.stage import Stage, run_stage
from tests.preprocess.several_cameras import keypoints, pixels, track


class FakeKeypoints(Stage):
    """Writes where a body is seen, and remembers whom it was to follow."""

    name = "keypoints"
    asked: list = []  # noqa: RUF012, since it is shared on purpose

    def __init__(self, points, person=None):
        self.points, self.person = points, person

    def inputs(self, subject):
        return []

    def outputs(self, subject):
        return []

    def settings(self):
        return {}

    def run(self, subject, progress):
        self.asked.append(self.person)
        keypoints(Subject(subject).camera(0), self.points).save(points_path(subject))
        return "person in all; 2 people seen"


def test_follows_the_same_person_in_every_camera(several, views, rng, monkeypatch):
    him = rng.normal(0, 0.3, (4, 33, 3))
    middles = {"him": (-0.4, 0, 0), "her": (0.4, 0, 0.3)}
    people = {name: rng.normal(middle, 0.2, (1, 17, 3)).repeat(4, 0) for name, middle in middles.items()}
    her = pixels(views[0], people["her"][0]).mean(0).tolist()

    class FakeMoveNet:
        def __call__(self, image):
            camera, frame, _ = image[0, 0]
            order = sorted(people) if camera else sorted(people, reverse=True)
            return [track(views[camera], people[name][frame : frame + 1], [0]).detections[0] for name in order]

    monkeypatch.setattr(keypoint_cameras, "MoveNets", FakeMoveNet)
    FakeKeypoints.asked.clear()
    stage = CameraKeypoints(lambda person: FakeKeypoints(him, person), person=her, people={2: [1.0, 2.0]}, every=1)
    with Progress(disable=True) as progress:
        assert run_stage(stage, several, progress) == "person in all of 3 cameras"
    first, second, third = FakeKeypoints.asked
    chosen = min(("him", "her"), key=lambda n: abs(pixels(views[1], people[n][0]).mean(0) - second).max())
    assert chosen == "her" and first == her and third == [1.0, 2.0]
    for camera in range(3):
        found = Keypoints.load(points_path(several, camera)).image_points
        np.testing.assert_allclose(found, pixels(views[camera], him), atol=1e-3)
    assert not (Keypoints.load(points_path(several)).world_points == 7).any()
    assert (Keypoints.load(points_path(several, 1)).world_points == 7).all()
