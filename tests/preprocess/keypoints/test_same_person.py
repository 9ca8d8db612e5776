"""Who is the same person in two cameras."""

import pytest

from hashhuman.errors import UserError
from preprocess.keypoints.same_person import same_person
from tests.preprocess.several_cameras import track


def test_the_same_person_is_whose_rays_meet(views, rng):
    him, her = (rng.normal((x, 0, 0.2), 0.3, (4, 17, 3)) for x in (-0.4, 0.4))
    of_him = track(views[0], him)
    others = [track(views[1], her, noise=3), track(views[1], him, noise=3)]
    assert same_person(of_him, views[0], others, views[1]) is others[1]
    assert same_person(track(views[0], her), views[0], others, views[1]) is others[0]
    assert same_person(of_him, views[0], others[::-1], views[1]) is others[1]


def test_somebody_who_is_seen_for_a_moment_only_does_not_count(views, rng):
    him = rng.normal(0, 0.3, (8, 17, 3))
    moments = range(0, 40, 5)
    passing = track(views[1], him[:1], moments[:1])  # exactly where he should be, by chance
    long = track(views[1], him, moments, noise=6)
    assert same_person(track(views[0], him, moments), views[0], [passing, long], views[1]) is long
    with pytest.raises(UserError, match="synchronised"):
        same_person(track(views[0], him, moments), views[0], [track(views[1], him, range(100, 108))], views[1])
