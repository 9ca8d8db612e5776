"""Drawings, rendered scenes and collages against noisy pictures."""

import cv2
import numpy as np
import pytest

from preprocess.doctor.clip import ClipChecks
from preprocess.doctor.filmed import flat_share, seams, unchanged_share
from preprocess.doctor.inspection import Inspection, Person
from preprocess.findings import Verdict
from tests.preprocess.doctor.limits import checks

HEIGHT, WIDTH = 240, 200


def person() -> Person:
    points = np.stack([np.linspace(80, 120, 33), np.linspace(60, 200, 33)], 1)
    return Person(points, np.ones(33), np.zeros((33, 3)))


def scene(index: int, noise: float) -> np.ndarray:
    """A wall with blotches, and a figure of three colours; noise as a camera's."""
    rng = np.random.default_rng(0)
    wall = 120 + 40 * cv2.GaussianBlur(rng.normal(size=(HEIGHT, WIDTH, 3)), (0, 0), 6) / 0.05
    image = wall.clip(60, 200)
    image[60:110, 80:120], image[110:160, 80:120], image[160:201, 80:120] = (
        (220, 180, 150),
        (180, 40, 40),
        (40, 50, 120),
    )
    return (image + np.random.default_rng(index + 1).normal(0, noise, image.shape)).clip(0, 255).astype(np.uint8)


def seen(noise: float) -> list[Inspection]:
    return [Inspection(scene(i, noise), person(), 1) for i in range(6)]


def test_flat_colours():
    assert flat_share(scene(0, 0), person()) > 0.9
    assert flat_share(scene(0, 2), person()) < 0.2
    outside = Person(person().image_points + 1000, np.ones(33), np.zeros((33, 3)))
    assert flat_share(scene(0, 0), outside) == 0


def test_a_background_that_no_camera_filmed():
    assert unchanged_share(seen(0)) == 1
    assert unchanged_share(seen(1)) < 0.3
    assert unchanged_share(seen(0)[:1]) == 0


def test_edges_of_a_collage():
    one = [scene(i, 2) for i in range(6)]
    assert seams(one) == 0
    two = [np.concatenate([image, 255 - image[:, ::-1] // 2], 1) for image in one]
    assert seams(two) == 1
    assert seams([np.concatenate([image, image[:, ::-1] // 3]) for image in two]) == 2
    bars = [cv2.copyMakeBorder(image, 4, 4, 4, 4, cv2.BORDER_CONSTANT) for image in one]
    assert seams(bars) == 0


def test_a_door_in_the_wall_is_no_collage():
    door = [scene(i, 0).astype(np.int16) for i in range(6)]
    for i, image in enumerate(door):
        image[24:, 140:180] -= 40
        image += np.random.default_rng(i).normal(0, 2, image.shape).astype(np.int16)
    assert seams([image.clip(0, 255).astype(np.uint8) for image in door]) == 0


@pytest.mark.parametrize(("noise", "rate", "names"), [(2, 30.0, set()), (0, 30.0, {"looks drawn", "looks rendered"}),
                                                      (0, 300.0, {"looks drawn"})])  # fmt: skip
def test_what_the_doctor_says(noise: float, rate: float, names: set[str]):
    clips: ClipChecks = checks("clip")
    findings = [each for each in clips(seen(noise), 100, rate) if each.name.startswith("looks")]
    assert {each.name for each in findings} == names
    assert all(each.verdict is Verdict.WARN for each in findings)
