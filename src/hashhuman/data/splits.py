"""Divides a subject's pictures into those that train the avatar and those that evaluate it."""

import logging
from collections.abc import Sequence
from pathlib import Path

from hashhuman.data.damage import DAMAGED
from hashhuman.data.subject import Picture, Subject
from hashhuman.errors import UserError
from hashhuman.io import threads

log = logging.getLogger(__name__)

SPLITS = ("train", "heldout", "novel_view", "novel_pose")


def split(
    subject: Subject,
    train_cameras: Sequence[int] = (0,),
    train_frames: int | None = None,
    holdout_every: int = 0,
    first_frame: int = 0,
    frame_step: int = 1,
    test_every: int = 1,
    test_frames: Sequence[int] | None = None,
) -> dict[str, list[Picture]]:
    """Divides a subject's pictures into `train`, `heldout`, `novel_view` and `novel_pose`.

    The training window consists of `train_frames` frames: every `frame_step`-th from position `first_frame` on. If
    subject.json states the splits of a published data set, these are taken, unless an option below names frames.

    Args:
        subject: the subject folder.
        train_cameras: positions in annots.npy.
        train_frames: number of frames in the window; None for as many as scene.json states, or else all.
        holdout_every: every n-th frame of the window is held out of training (0: none), so that the training cameras
            can be scored at poses between the training poses.
        first_frame: position of the window's first frame among the subject's frames.
        frame_step: distance between the window's frames.
        test_every: novel views and novel poses take every n-th frame only, since there may be many cameras (ZJU-MoCap
            has 23).
        test_frames: the frames of novel poses, as their first, their last and the step between them, by the names of
            the pictures; None: all frames before and after the window.

    Returns:
        train: pictures of the training cameras in the window, without held-out frames.
        heldout: pictures of the training cameras in held-out frames.
        novel_view: pictures of the other cameras in the window.
        novel_pose: pictures of the other cameras before and after the window, or of the training cameras if the subject
            has no other.
        Frames that `frame_step` skips are in no split, unless `test_frames` names them. A training camera's picture of
        the window that shows nobody (its mask is empty) neither trains nor is held out. A picture without a pose is in
        no split, and the log says so.

    Raises:
        UserError: if a training camera does not exist, nothing is left to train on, too many poses are missing, or
            `test_frames` is not three numbers in order, names no frame of the subject, or names one that trains.
    """
    unknown = [camera for camera in train_cameras if not 0 <= camera < len(subject.camera_names)]
    if unknown or not train_cameras:
        have = len(subject.camera_names)
        raise UserError(
            f"data.train_cameras={list(train_cameras)} must name some of {subject.root}'s {have} cameras, from 0."
        )
    count = subject.train_frames if train_frames is None else train_frames
    named = train_frames is not None or test_frames is not None or holdout_every or first_frame or frame_step != 1
    stated = None if named else subject.splits
    if stated is None:
        window = subject.frames[first_frame::frame_step][:count]
    else:
        window = sorted({*stated["train"], *stated["heldout"]} & set(subject.frames))
    if not window:
        raise UserError(f"{subject.root} has no frame left to train on: check data.train_frames and data.first_frame.")
    unposed = _without_pose(subject, window)
    nobody, shown = _without_person(subject, train_cameras, window)
    shown = [frame for frame in shown if frame not in unposed]
    held = set(shown[holdout_every // 2 :: holdout_every]) if holdout_every > 0 else set()
    held = held if stated is None else held | set(stated["heldout"])
    train = set(shown) - held
    if shown and not train:
        raise UserError(f"{subject.root} has no frame left to train on: check data.holdout_every.")
    outside = _novel_frames(subject, window, frame_step, test_frames) if stated is None else stated["novel_pose"]
    tested_views, tested_poses = set(window[::test_every]), set(outside[::test_every])
    # One camera shows new poses only in its own later frames; with several, its frames would be no novel view.
    alone = {picture.camera for picture in subject.pictures} <= set(train_cameras)

    splits: dict[str, list[Picture]] = {name: [] for name in SPLITS}
    for picture in subject.pictures:
        if picture.image in nobody or picture.frame in unposed:
            continue
        if picture.camera in train_cameras:
            if picture.frame in train:
                splits["train"].append(picture)
            elif picture.frame in held:
                splits["heldout"].append(picture)
            elif alone and picture.frame in tested_poses:
                splits["novel_pose"].append(picture)
        elif picture.frame in tested_views:
            splits["novel_view"].append(picture)
        elif picture.frame in tested_poses:
            splits["novel_pose"].append(picture)
    if not splits["train"]:
        raise UserError(f"{subject.root} has no picture of cameras {list(train_cameras)} to train on.")
    return splits


def _without_pose(subject: Subject, window: Sequence[int]) -> set[int]:
    """The frames without a pose, which are logged. Raises UserError if too many of the window are among them."""
    posed = set(subject.posed_frames)
    unposed = [frame for frame in subject.frames if frame not in posed]
    absent = [frame for frame in window if frame not in posed]
    if len(absent) > DAMAGED * len(window):
        raise UserError(
            f"{subject.path('smpl_params')} lacks the poses of {len(absent)} of {len(window)} training frames (the "
            f"first: {absent[0]}.npy), and at most {DAMAGED:.0%} may be left out: fit them, or choose other frames "
            "with data.first_frame and data.train_frames."
        )
    if unposed:
        frames = (
            f"frame {unposed[0]} has" if len(unposed) == 1 else f"{len(unposed)} frames (from {unposed[0]} on) have"
        )
        log.warning("%s: %s no pose, and nothing is trained on or measured there", subject.path("smpl_params"), frames)
    return set(unposed)


def _without_person(
    subject: Subject, train_cameras: Sequence[int], window: Sequence[int]
) -> tuple[set[Path], list[int]]:
    """The training cameras' pictures of the window that show nobody, and the frames in which one shows somebody."""
    chosen = set(window)
    filmed = [p for p in subject.pictures if p.camera in train_cameras and p.frame in chosen]
    empty = threads.ordered(subject.shows_nobody, filmed)
    nobody = {picture.image for picture, alone in zip(filmed, empty) if alone}
    seen = {picture.frame for picture in filmed if picture.image not in nobody}
    if filmed and not seen:
        raise UserError(
            f"None of the {len(filmed)} training pictures of {subject.root} shows the person: their masks are empty."
        )
    return nobody, [frame for frame in window if frame in seen]


def _novel_frames(
    subject: Subject, window: Sequence[int], frame_step: int, test_frames: Sequence[int] | None
) -> list[int]:
    """The frames of novel poses: those that `test_frames` names, or all before and after the window."""
    if test_frames is None:
        inside = range(window[0], window[-1] + frame_step)
        return [frame for frame in subject.frames if frame not in inside]
    outside = _named(test_frames, subject)
    if trained := sorted(set(outside) & set(window)):
        raise UserError(f"data.test_frames={list(test_frames)} holds frame {trained[0]}, which trains the avatar.")
    return outside


def _named(test_frames: Sequence[int], subject: Subject) -> list[int]:
    """The subject's frames among first, first + step, ... up to and with the last."""
    option = f"data.test_frames={list(test_frames)}"
    if len(test_frames) != 3 or test_frames[2] < 1 or test_frames[1] < test_frames[0]:
        raise UserError(f"{option} must be [first, last, step], such as [456, 675, 4].")
    first, last, step = test_frames
    present = set(subject.frames)
    chosen = [frame for frame in range(first, last + 1, step) if frame in present]
    if not chosen:
        have = f"{subject.frames[0]} to {subject.frames[-1]}"
        raise UserError(f"{option} names no frame of {subject.root}, whose frames are {have}.")
    return chosen
