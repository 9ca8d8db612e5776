"""Detections become tracks, and one of them is chosen."""

import numpy as np
import pytest

from hashhuman.errors import UserError
from preprocess.keypoints.tracks import Track, choose, link
from tests.preprocess import actors
from tests.preprocess.keypoints.people import tracks_of


def test_people_who_pass_each_other_stay_apart() -> None:
    script = [{"a": (60 + 8 * t, 110), "b": (260 - 8 * t, 140)} for t in range(26)]
    tracks = tracks_of(script)
    assert len(tracks) == 2
    for track, sign in zip(tracks, (1, -1)):
        path = [track.detections[t].center[0] for t in range(26)]
        assert np.all(np.diff(path) == sign * 8)


def test_the_large_and_central_person_is_chosen() -> None:
    tracks: list[Track] = []
    for t in range(10):
        link(tracks, t, [actors.detection(160, 120), actors.detection(30, 120), actors.detection(290, 120, tall=60)])
    assert choose(tracks, None, 320, 240).last == 9
    assert choose(tracks, None, 320, 240).detections[0].hips[0] == 160


def test_person_by_number_or_point() -> None:
    tracks = tracks_of([{"b": (160, 120), "a": (40, 120), "c": (290, 110)}] * 3)
    for person, x in ((0, 40), (1, 160), (2, 290), ([280, 100], 290), ([20, 20], 40)):
        assert choose(tracks, person, 320, 240).detections[0].hips[0] == x
    with pytest.raises(UserError, match="3 were found"):
        choose(tracks, 3, 320, 240)
    with pytest.raises(UserError, match="nobody was found"):
        choose([], None, 320, 240)
