"""A motion that is late or early against the keypoints is noticed, and one that is not, is not."""

import dataclasses

import numpy as np
import pytest

from preprocess.body_fit.source.join import Seen
from preprocess.body_fit.source.motion import Motion
from preprocess.body_fit.source.shift import counts_frames, shift_of

FRAMES = 80
TALL = 400.0  # pixels


def middle(picture: np.ndarray) -> np.ndarray:
    """Of a person who walks to and fro."""
    return np.stack([600 + 250 * np.sin(picture / 9), 300 + 6 * np.sin(picture)], -1)


def motion(late: float, noise: float = 0.0) -> Motion:
    """The pelvis, seen 60 pixels below the middle of the points, of all pictures of the video."""
    at = np.arange(2.0 * FRAMES)
    seen = middle(at - late) + np.random.default_rng(0).normal([4, 60], noise, (len(at), 2))
    return Motion(at, np.tile(np.eye(3), (len(at), 22, 1, 1)), np.zeros((len(at), 3)), np.zeros(10), None, seen=seen)


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("late", [0, 1, 3, -4, 7])
def test_a_shift_is_found(step: int, late: int):
    pictures = np.arange(10.0, FRAMES, step)
    keypoints = Seen(middle(pictures), np.full(len(pictures), TALL), np.ones(len(pictures), bool))
    assert shift_of(motion(late), pictures, keypoints) == late
    assert shift_of(motion(late, noise=3), pictures, keypoints) == late


@pytest.mark.parametrize(("start", "step"), [(0, 2), (0, 3), (30, 1), (10, 2)])
def test_numbers_of_the_subjects_frames_are_told_from_the_videos(start: int, step: int):
    pictures = np.arange(float(start), 2 * FRAMES, step)
    keypoints = Seen(middle(pictures), np.full(len(pictures), TALL), np.ones(len(pictures), bool))
    frames = np.arange(float(len(pictures)))
    seen = middle(pictures) + np.array([4, 60])
    of_frames = dataclasses.replace(motion(0), at=frames, rotations=None, transl=np.zeros((len(frames), 3)), seen=seen)
    assert counts_frames(of_frames, pictures, keypoints)
    assert not counts_frames(motion(0, noise=3), pictures, keypoints)
    assert not counts_frames(of_frames, frames, keypoints)  # all pictures are used: there is no difference


def test_somebody_who_stands_still_tells_nothing():
    pictures = np.arange(10.0, FRAMES)
    keypoints = Seen(
        np.tile([[600.0, 300]], (len(pictures), 1)), np.full(len(pictures), TALL), np.ones(len(pictures), bool)
    )
    still = motion(0)
    assert still.seen is not None
    still.seen[:] = [604, 360]
    assert shift_of(still, pictures, keypoints) == 0
