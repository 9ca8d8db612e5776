"""The person is followed from picture to picture, and crops are smoothed."""

import numpy as np
import pytest

from preprocess.keypoints.crop import Crop
from preprocess.keypoints.follow import Follower, smooth_crops
from preprocess.keypoints.tracks import choose
from tests.preprocess import actors
from tests.preprocess.actors import FakeMoveNet, FakePoseNetwork, Script
from tests.preprocess.keypoints.people import tracks_of


def follow(script: Script, every: int = 5) -> tuple[list[np.ndarray | None], FakeMoveNet]:
    """Where the leftmost person is found in each picture, and the detector that was asked."""
    track = choose(tracks_of(script, every), 0, actors.WIDTH, actors.HEIGHT)
    detector = FakeMoveNet(script)
    follower = Follower(FakePoseNetwork(script), detector, track, every, 0.5)  # pyright: ignore[reportArgumentType]
    poses = [follower(i, actors.picture(i)) for i in range(len(script))]
    return [pose and pose.image_points[0] for pose in poses], detector


def test_following_does_not_jump_to_a_bystander() -> None:
    """Somebody stands so near the person's path that the crop holds both."""
    script = [{"person": (100 + 3 * t, 120), "bystander": (190, 100)} for t in range(40)]
    found, _ = follow(script)
    expected = [script[t]["person"][0] for t in range(40)]
    assert [None if p is None else p[0] for p in found] == expected


def test_lost_person_is_found_again_and_not_replaced() -> None:
    script = [{"person": (140, 120), "bystander": (205, 100)} for _ in range(30)]
    script[7:12] = [{"bystander": (205, 100)}] * 5
    found, _ = follow(script)
    assert [t for t, p in enumerate(found) if p is None] == [7, 8, 9, 10, 11]
    assert {float(p[0]) for p in found if p is not None} == {140.0}


def test_detector_is_asked_only_when_needed() -> None:
    _, detector = follow([{"person": (100 + t, 120)} for t in range(30)])
    assert detector.calls == 1


def test_smoothing_keeps_the_path_and_drops_jitter() -> None:
    rng = np.random.default_rng(0)
    crops: list[Crop | None]
    crops = [Crop(np.array([100 + 2 * t, 50]) + rng.normal(0, 3, 2), 200 + rng.normal(0, 5), 0.0) for t in range(60)]
    crops[20] = None
    smoothed = list(smooth_crops(crops, 2.0))
    assert smoothed[20] is None
    off = np.array([c.center - (100 + 2 * t, 50) for t, c in enumerate(smoothed) if c is not None and 6 < t < 53])
    assert np.abs(off).max() < 4 and off.std() < 1.6
    turned = [Crop(np.zeros(2), 1.0, angle) for angle in (np.pi - 0.1, -np.pi + 0.1)]
    assert all(abs(abs(c.angle) - np.pi) < 0.11 for c in smooth_crops(turned, 2.0) if c is not None)
    assert [c.angle for c in smooth_crops(turned, 0.0) if c is not None] == pytest.approx([c.angle for c in turned])
    assert [c.center.tolist() for c in smooth_crops(crops[:3], 0.0) if c] == [c.center.tolist() for c in crops[:3] if c]


def test_crops_are_smoothed_as_soon_as_their_surroundings_are_seen():
    """Against a mean over the whole sequence, whose far ends do not count."""
    noise = np.random.default_rng(0)
    crops = [
        None if i in (4, 30) else Crop(noise.normal(size=2) * 9, 100 + 10 * noise.random(), 0.0) for i in range(40)
    ]
    asked = []
    smoothed = smooth_crops((asked.append(i) or crop for i, crop in enumerate(crops)), 1.5)
    assert next(smoothed) is not None and len(asked) == 7  # itself and four sigmas
    rest = list(smoothed)
    assert len(rest) == 39 and rest[3] is None and rest[29] is None
    known = [i for i, crop in enumerate(crops) if crop is not None]
    for i in (1, 5, 20, 39):
        weights = np.exp(-0.5 * ((np.array(known) - i) / 1.5) ** 2)
        center = (weights[:, None] * [crops[k].center for k in known]).sum(0) / weights.sum()
        np.testing.assert_allclose(rest[i - 1].center, center, atol=0.01)
