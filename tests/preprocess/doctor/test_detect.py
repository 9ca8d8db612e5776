"""Who is found, with networks that know where everybody is."""

import numpy as np
import pytest

from hashhuman.errors import UserError
from preprocess.doctor import detect
from tests.preprocess import actors

SCRIPT = [{"left": (80, 120), "person": (170, 120)}, {"person": (170, 120)}, {}]


@pytest.fixture(autouse=True)
def _actors(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(detect, "MoveNet", lambda: actors.FakeMoveNet(SCRIPT))
    monkeypatch.setattr(detect, "PoseNetwork", lambda: actors.FakePoseNetwork(SCRIPT))


def places(person) -> list[float | None]:
    seen = detect.inspect_pictures([actors.picture(i) for i in range(3)], person)
    assert [each.people for each in seen] == [2, 1, 0]
    return [each.person and float(each.person.image_points[0, 0]) for each in seen]


def test_the_one_in_the_middle():
    assert places(None) == [170, 170, None]


def test_counted_from_the_left():
    assert places(0) == [80, 170, None]
    assert places(1) == [170, None, None]


def test_nearest_to_a_point():
    assert places([60.0, 100.0]) == [80, 170, None]


def test_neither_a_number_nor_a_point():
    with pytest.raises(UserError, match="neither a number"):
        detect.inspect_pictures([np.zeros((8, 8, 3), np.uint8)], [1.0, 2.0, 3.0])


def test_overlapping_people_are_counted(monkeypatch: pytest.MonkeyPatch):
    script = [{"person": (170, 120), "passer": (200, 120)}, {"person": (170, 120), "passer": (260, 120)}]
    monkeypatch.setattr(detect, "MoveNet", lambda: actors.FakeMoveNet(script))
    monkeypatch.setattr(detect, "PoseNetwork", lambda: actors.FakePoseNetwork(script))
    seen = detect.inspect_pictures([actors.picture(i) for i in range(2)], 0)
    assert [each.overlapped for each in seen] == [True, False]
