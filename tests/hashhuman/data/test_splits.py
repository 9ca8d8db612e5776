"""The division into training and test pictures."""

from pathlib import Path
from typing import Any

import pytest

from hashhuman.data.splits import SPLITS, split
from hashhuman.data.subject import Picture, Subject
from hashhuman.data.subject.layout import names_in
from hashhuman.errors import UserError


class Listing(Subject):
    """A subject with nothing but a list of pictures."""

    def __init__(
        self,
        cameras: int,
        frames: list[int],
        train_frames: int | None = None,
        posed: list[int] | None = None,
        stated: Any = None,
    ) -> None:
        self.root, self.frames, self._names = Path("listing"), frames, names_in(Path("listing"))
        self.posed_frames = frames if posed is None else posed
        self.meta = {} if stated is None else {"splits": stated}
        self.scene = None if train_frames is None else {"frames": train_frames}
        self.camera_names = [f"{c:02d}" for c in range(cameras)]
        self.pictures = [Picture(c, f, Path(f"{c}/{f}"), None, None) for f in frames for c in range(cameras)]


def frames_of(splits: dict[str, list[Picture]], name: str, camera: int) -> list[int]:
    return [p.frame for p in splits[name] if p.camera == camera]


def test_one_camera_trains_on_everything():
    splits = split(Listing(1, list(range(5))))
    assert list(splits) == list(SPLITS)
    assert frames_of(splits, "train", 0) == [0, 1, 2, 3, 4]
    assert not splits["heldout"] + splits["novel_view"] + splits["novel_pose"]


def test_held_out_frames():
    splits = split(Listing(2, list(range(20))), holdout_every=10)
    assert frames_of(splits, "heldout", 0) == [5, 15]
    assert frames_of(splits, "train", 0) == [f for f in range(20) if f not in (5, 15)]
    assert frames_of(splits, "novel_view", 1) == list(range(20))
    every = split(Listing(1, [0, 1, 2, 3]), holdout_every=2)
    assert (frames_of(every, "train", 0), frames_of(every, "heldout", 0)) == ([0, 2], [1, 3])


def test_instant_nvr_protocol():
    """Camera 4, every 5th frame from 0, 100 of them; tests at every 30th frame on the 22 other cameras."""
    listing = Listing(23, list(range(600)))
    splits = split(listing, train_cameras=[4], train_frames=100, frame_step=5, test_every=6)
    assert frames_of(splits, "train", 4) == list(range(0, 500, 5))
    assert frames_of(splits, "novel_view", 0) == list(range(0, 500, 30))
    assert len(splits["novel_view"]) == 17 * 22
    assert frames_of(splits, "novel_pose", 22) == list(range(500, 600, 6))
    assert not frames_of(splits, "novel_view", 4)
    together = [(p.camera, p.frame) for pictures in splits.values() for p in pictures]
    assert len(together) == len(set(together))


def test_windows_that_start_late():
    splits = split(Listing(2, list(range(10))), first_frame=4, train_frames=3)
    assert frames_of(splits, "train", 0) == [4, 5, 6]
    assert frames_of(splits, "novel_pose", 1) == [0, 1, 2, 3, 7, 8, 9]


def test_later_frames_of_the_only_camera_are_novel_poses():
    splits = split(Listing(1, list(range(10))), train_frames=6, holdout_every=3)
    assert frames_of(splits, "train", 0) == [0, 2, 3, 5]
    assert frames_of(splits, "heldout", 0) == [1, 4]
    assert frames_of(splits, "novel_pose", 0) == [6, 7, 8, 9]
    beside_others = split(Listing(2, list(range(10))), train_frames=6)
    assert not frames_of(beside_others, "novel_pose", 0)


def test_named_test_frames():
    """The PeopleSnapshot protocol for female-4-casual: 0 to 335 in steps of 4 train, 335 to 523 in steps of 4 test."""
    listing = Listing(1, list(range(524)))
    splits = split(listing, train_frames=84, frame_step=4, test_frames=[335, 523, 4])
    assert frames_of(splits, "train", 0) == list(range(0, 336, 4))
    assert frames_of(splits, "novel_pose", 0) == list(range(335, 524, 4))
    assert len(splits["novel_pose"]) == 48


def test_the_folder_says_how_many_frames_train():
    listing = Listing(2, list(range(10)), train_frames=6)
    assert frames_of(split(listing), "train", 0) == list(range(6))
    assert frames_of(split(listing, train_frames=2), "train", 0) == [0, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_cameras": [2]}, r"data\.train_cameras=\[2\] must name some of listing's 2 cameras"),
        ({"train_cameras": []}, "train_cameras"),
        ({"train_frames": 0}, "no frame left to train on"),
        ({"first_frame": 50}, "no frame left to train on"),
        ({"holdout_every": 1}, "no frame left to train on"),
        ({"test_frames": [3, 4]}, r"must be \[first, last, step\]"),
        ({"test_frames": [4, 3, 1]}, r"must be \[first, last, step\]"),
        ({"test_frames": [3, 4, 0]}, r"must be \[first, last, step\]"),
        ({"test_frames": [70, 80, 1]}, "names no frame of listing, whose frames are 0 to 4"),
        ({"train_frames": 2, "test_frames": [1, 4, 1]}, "holds frame 1, which trains the avatar"),
    ],
)
def test_nothing_to_train_on(options: dict, message: str):
    with pytest.raises(UserError, match=message):
        split(Listing(2, list(range(5))), **options)


def test_a_missing_pose_is_left_out_and_said(caplog: pytest.LogCaptureFixture):
    frames = list(range(20))
    splits = split(Listing(1, frames, posed=[f for f in frames if f != 7]), holdout_every=10)
    assert frames_of(splits, "train", 0) == [f for f in frames if f not in (7, 5, 16)]
    assert frames_of(splits, "heldout", 0) == [5, 16]
    assert "frame 7 has no pose" in caplog.text
    outside = split(Listing(1, frames, posed=frames[:15]), train_frames=10)  # as where a fit ends before the video
    assert frames_of(outside, "novel_pose", 0) == [10, 11, 12, 13, 14]
    with pytest.raises(UserError, match=r"lacks the poses of 5 of 20 training frames \(the first: 15\.npy\)"):
        split(Listing(1, frames, posed=frames[:15]))


def test_the_splits_of_a_published_data_set():
    stated = {"train": [0, 2, 4, 6], "heldout": [3], "novel_pose": [8, 9]}
    listing = Listing(1, list(range(12)), stated=stated)
    splits = split(listing)
    assert {name: frames_of(splits, name, 0) for name in SPLITS} == stated | {"novel_view": []}
    assert frames_of(split(listing, test_every=2), "novel_pose", 0) == [8]
    others = split(listing, train_frames=5)  # the command line names frames
    assert frames_of(others, "train", 0) == [0, 1, 2, 3, 4]
    assert frames_of(split(listing, holdout_every=10), "heldout", 0) == [5]
    fewer = Listing(1, [0, 2, 3, 9], stated=stated)  # as where preprocess.frames.stop leaves pictures out
    assert frames_of(split(fewer), "train", 0) == [0, 2]


@pytest.mark.parametrize(
    "wrong", [[], {"train": [0]}, {"train": [0], "heldout": 3, "novel_pose": []},
              {"train": ["a"], "heldout": [], "novel_pose": []}, {"train": [0, 1], "heldout": [1], "novel_pose": []}],
)  # fmt: skip
def test_splits_that_are_none(wrong: Any):
    with pytest.raises(UserError, match=r"subject\.json: splits (must hold the frames|names a frame twice)"):
        split(Listing(1, [0, 1, 2], stated=wrong))
