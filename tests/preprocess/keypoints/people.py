"""People for the tests of keypoints: their tracks, and points of one of them."""

import numpy as np

from preprocess.keypoints.points import Keypoints
from preprocess.keypoints.tracks import Track, link
from tests.preprocess import actors
from tests.preprocess.actors import FakeMoveNet, Script


def tracks_of(script: Script, every: int = 1) -> list[Track]:
    """Everybody's tracks."""
    tracks: list[Track] = []
    detect = FakeMoveNet(script)
    for i in range(0, len(script), every):
        link(tracks, i, detect(actors.picture(i)))
    return tracks


def sample(frames: int = 4) -> Keypoints:
    """Detected everywhere but in the picture 2."""
    rng = np.random.default_rng(0)
    keypoints = Keypoints.empty(list(range(frames)))
    keypoints.image_points[:] = rng.uniform(5, 40, keypoints.image_points.shape)
    keypoints.visibility[:] = rng.uniform(0.6, 1, keypoints.visibility.shape)
    keypoints.world_points[:] = rng.normal(0, 0.5, keypoints.world_points.shape)
    keypoints.detected[:] = np.arange(frames) != 2
    return keypoints
