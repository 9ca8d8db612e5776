"""Each check of a clip, on both sides of its limits, with pictures and points made up."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from preprocess.doctor import clip
from preprocess.doctor.clip import ClipChecks
from preprocess.doctor.inspection import Inspection, Person, inspect_subject
from preprocess.findings import Finding, Verdict, worst
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.skeleton import NAMES
from tests.preprocess.doctor.limits import checks
from tests.preprocess.masks.clip import wall
from tests.preprocess.subjects import finished_toy

HEIGHT, WIDTH = 480, 640
TALL = 400.0


def person(tall: float = TALL, facing: float = 0.0, down: float = 0.0, presence: float = 1.0) -> Person:
    """Somebody upright in the middle, `down` pixels lower, who faces `facing` degrees away from the camera."""
    heights = np.linspace(0, 1, len(NAMES))  # the nose is the first point, the feet are the last
    points = np.stack([np.full(len(NAMES), WIDTH / 2), HEIGHT / 2 + tall * (heights - 0.5) + down], 1)
    world = np.zeros((len(NAMES), 3))
    for row, name in enumerate(NAMES):
        side = {"left": 0.2, "right": -0.2}.get(name.partition("_")[0], 0.0)
        world[row] = side * np.cos(np.radians(facing)), heights[row], side * np.sin(np.radians(facing))
    return Person(points, np.full(len(NAMES), presence), world)


def scene(drift: int = 0, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A wall with plenty to follow, seen `drift` pixels further."""
    rng = np.random.default_rng(0)
    texture = wall(rng, height, width + 100)
    texture[rng.integers(0, height, 3000), rng.integers(0, width + 100, 3000)] = 255
    return np.ascontiguousarray(texture[:, drift : drift + width])


@pytest.fixture(scope="module")
def clips() -> ClipChecks:
    return checks("clip")


TURN = [person(facing=angle) for angle in (0, 90, 180, 270)]


def inspected(
    people: Sequence[Person | None] = TURN, image: np.ndarray | None = None, count: int = 1
) -> list[Inspection]:
    """Pictures of these people, as a camera that stands still films them: with noise, unless `image` is given."""
    rng = np.random.default_rng(1)
    images = [np.minimum(scene(), 254) + rng.integers(0, 2, (HEIGHT, WIDTH, 3), np.uint8) if image is None else image
              for _ in people]  # fmt: skip
    return [Inspection(each, somebody, count) for each, somebody in zip(images, people)]


def found(findings: Sequence[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


def test_a_good_clip(clips: ClipChecks):
    noise = np.random.default_rng(1)  # as a camera has it: without, the scene looks rendered
    findings = clips(
        [
            dataclasses.replace(one, image=cv2.add(one.image, noise.integers(0, 4, one.image.shape, np.uint8)))
            for one in inspected()
        ],
        100,
        30.0,
    )
    assert worst(findings) is Verdict.OK and len(findings) == 10


@pytest.mark.parametrize(("frames", "verdict"), [(40, Verdict.OK), (39, Verdict.WARN), (9, Verdict.BAD)])
def test_pictures(clips: ClipChecks, frames: int, verdict: Verdict):
    assert found(clips(inspected(), frames, 30.0), "pictures").verdict is verdict


@pytest.mark.parametrize(("rate", "verdict"), [(12.0, Verdict.OK), (11.0, Verdict.WARN), (4.0, Verdict.BAD)])
def test_rate(clips: ClipChecks, rate: float, verdict: Verdict):
    assert found(clips(inspected(), 100, rate), "rate").verdict is verdict
    assert "rate" not in {finding.name for finding in clips(inspected(), 100, None)}


@pytest.mark.parametrize(("size", "verdict"), [(360, Verdict.OK), (359, Verdict.WARN), (179, Verdict.BAD)])
def test_size(clips: ClipChecks, size: int, verdict: Verdict):
    image = scene(height=size)
    assert found(clips(inspected(image=image), 100, 30.0), "size").verdict is verdict


def test_both_sizes_of_a_scaled_recording(clips: ClipChecks):
    """The limits are those of the pictures as they are used."""
    pictures = inspected(image=scene(height=359))
    width = pictures[0].image.shape[1]
    same = found(clips(pictures, 100, 30.0, (width, 359)), "size")
    scaled = found(clips(pictures, 100, 30.0, (2 * width, 718)), "size")
    assert same.value == f"{width} x 359" and scaled.value == f"{2 * width} x 718 as filmed, {width} x 359 as used"
    assert scaled.verdict is Verdict.WARN


@pytest.mark.parametrize(
    ("missing", "verdict"), [(1, Verdict.OK), (2, Verdict.WARN), (6, Verdict.BAD), (10, Verdict.BAD)]
)
def test_person_found(clips: ClipChecks, missing: int, verdict: Verdict):
    people = [None if i < missing else TURN[i % 4] for i in range(10)]
    assert found(clips(inspected(people), 100, 30.0), "person found").verdict is verdict


@pytest.mark.parametrize(("tall", "verdict"), [(251.0, Verdict.OK), (249.0, Verdict.WARN), (99.0, Verdict.BAD)])
def test_height(clips: ClipChecks, tall: float, verdict: Verdict):
    people = [person(tall, facing=angle) for angle in (0, 90, 180, 270)]
    assert found(clips(inspected(people), 100, 30.0), "person's height").verdict is verdict


@pytest.mark.parametrize(
    ("down", "verdict", "value"),
    [
        (60.0, Verdict.OK, "94 %"),
        (120.0, Verdict.WARN, "79 %, mostly without feet"),
        (240.0, Verdict.BAD, "48 %, mostly without hips, knees, feet"),
    ],
)  # fmt: skip
def test_body_in_the_picture(clips: ClipChecks, down: float, verdict: Verdict, value: str):
    finding = found(clips(inspected([person(down=down)] * 3), 100, 30.0), "body in the picture")
    assert (finding.verdict, finding.value) == (verdict, value)


def test_points_that_the_network_does_not_find_are_not_in_the_picture(clips: ClipChecks):
    finding = found(clips(inspected([person(presence=0.4)]), 100, 30.0), "body in the picture")
    assert finding.value.startswith("0 %, mostly without head")


@pytest.mark.parametrize(
    ("facing", "share"),
    [
        ((0,), 121 / 360),
        ((0, 180), 242 / 360),
        ((0, 90), 211 / 360),
        ((0, 120, 240), 1.0),
        ((350, 10, np.nan), 141 / 360),
    ],
)
def test_sides_seen(facing: tuple[float, ...], share: float):
    assert clip.sides_seen(facing) == pytest.approx(share)


def test_a_half_turn_is_not_enough(clips: ClipChecks):
    half = found(clips(inspected(TURN[:2]), 100, 30.0), "sides seen")
    assert half.verdict is Verdict.WARN and half.value == "59 % of a turn"


@pytest.mark.parametrize("facing", [0, 35, 90, 180, -100])
def test_direction(facing: float):
    assert clip.direction(person(facing=facing)) == pytest.approx(facing, abs=1e-6) or facing == 180
    assert abs(clip.direction(person(facing=180))) == pytest.approx(180)


def test_motion_blur(clips: ClipChecks):
    def smeared(pixels: int) -> Finding:
        return found(clips(inspected(image=cv2.blur(fine, (pixels, 1))), 100, 30.0), "motion blur")

    blocks = np.random.default_rng(0).integers(0, 255, (HEIGHT // 32, WIDTH // 32, 3))
    fine = np.kron(blocks, np.ones((32, 32, 1))).astype(np.uint8)
    verdicts = [smeared(pixels).verdict for pixels in (3, 7, 15)]
    assert verdicts == [Verdict.OK, Verdict.WARN, Verdict.BAD]


def test_blur_of_a_step_by_hand():
    """A sharp edge: nine pixels of blur leave a ninth of its step between any two pixels."""
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, 50:] = 90
    assert clip.blur(image, Person(np.array([[10, 5], [90, 95]]), np.ones(2), np.zeros((2, 3)))) == pytest.approx(1 / 9)


def test_camera(clips: ClipChecks):
    still = clips(inspected(), 100, 30.0)
    moving = clips([Inspection(scene(drift), somebody, 1) for drift, somebody in zip((0, 9, 20, 40), TURN)], 100, 30.0)
    assert found(still, "camera").verdict is Verdict.OK
    assert found(moving, "camera").verdict is Verdict.WARN


def test_people(clips: ClipChecks):
    assert found(clips(inspected(count=2), 100, 30.0), "people").verdict is Verdict.WARN
    unknown = [Inspection(each.image, each.person, None) for each in inspected()]
    assert "people" not in {finding.name for finding in clips(unknown, 100, 30.0)}
    met = [dataclasses.replace(each, overlapped=i < 3) for i, each in enumerate(inspected(count=2))]
    assert (
        found(clips(met, 100, 30.0), "people").value
        == f"up to 2 in a picture, overlapping the person in 3 of {len(met)}"
    )


def test_inspects_finished_points(tmp_path: Path):
    finished_toy(tmp_path, frames=6, absent=(5,))
    keypoints = Keypoints.load(points_path(tmp_path))
    seen = inspect_subject(tmp_path, 3)
    assert [each.person is not None for each in seen] == [True, True, False]
    assert seen[0].person is not None and seen[0].people is None
    np.testing.assert_array_equal(seen[0].person.image_points, keypoints.image_points[0])
