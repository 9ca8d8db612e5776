"""Masks of all pictures in one file, as SAM 2 and SAM 3 are saved: arrays, dictionaries, archives."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.progress import Progress

from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io.files import read_image
from preprocess.masks.folder import FolderMasks
from tests import toy

N = 4


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    """A toy subject; its masks lie beside it."""
    root = toy.write_subject(tmp_path / "toy", n_frames=N, n_cameras=1)
    shutil.move(root / "mask" / "00", tmp_path / "mine")
    return root


@pytest.fixture
def own(subject: Path, tmp_path: Path) -> np.ndarray:
    """The masks, N x H x W."""
    return np.stack([read_image(path) > 127 for path in sorted((tmp_path / "mine").iterdir())])


def run(root: Path, path: Path) -> np.ndarray:
    with Progress(disable=True) as progress:
        FolderMasks(str(path)).run(root, progress)
    reader = Subject(root)
    return np.stack([reader.mask(picture) for picture in reader.pictures]) > 0.5


def corner(own: np.ndarray) -> np.ndarray:
    """Somebody else's masks: a square in the corner of each picture."""
    other = np.zeros_like(own)
    other[:, :8, :8] = True
    return other


KINDS: dict[str, Callable[[np.ndarray], Any]] = {
    "truth values": lambda own: own,
    "0 and 255": lambda own: own.astype(np.uint8) * 255,
    "with an axis of one object": lambda own: own[:, None],
    "logits": lambda own: np.where(own, 7.5, -12).astype(np.float32),
    "ids": lambda own: own * 2 + corner(own).astype(np.uint8),
    "two objects": lambda own: np.stack([corner(own), own], 1),
    "two objects' coverage": lambda own: np.stack([corner(own) * 0.9 + 0.02, own * 0.95 + 0.03], 1).astype(np.float32),
    "two objects' grey levels": lambda own: np.stack([corner(own), own], 1) * np.uint8(250) + np.uint8(3),
    "two objects' coverage by name": lambda own: {
        i: {1: c * 0.9 + 0.02, 4: m * 0.95 + 0.03} for i, (c, m) in enumerate(zip(corner(own), own))
    },
    "of another size": lambda own: own.repeat(2, 1).repeat(2, 2),
    "SAM 2's video_segments": lambda own: {
        i: {1: c[None], 4: m[None]} for i, (c, m) in enumerate(zip(corner(own), own))
    },
    "a dictionary out of order": lambda own: {f"{i:05d}": own[i] for i in (2, 0, 3, 1)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_all_masks(kind: str, subject: Path, own: np.ndarray, tmp_path: Path):
    np.save(tmp_path / "masks.npy", KINDS[kind](own))
    np.testing.assert_array_equal(run(subject, tmp_path / "masks.npy"), own)


def test_archives(subject: Path, own: np.ndarray, tmp_path: Path):
    path = tmp_path / "masks.npz"
    np.savez(path, own)
    np.testing.assert_array_equal(run(subject, path), own)
    np.savez(path, masks=own[:, None], scores=np.ones((N, 1)), logits=np.zeros((N, 1, 8, 8)))
    np.testing.assert_array_equal(run(subject, path), own)
    np.savez(path, **{f"frame_{i}": own[i] for i in (3, 2, 1, 0)})
    np.testing.assert_array_equal(run(subject, path), own)


def test_entries_count_in_the_order_of_their_numbers(subject: Path, own: np.ndarray, tmp_path: Path):
    """SAM 2 looked at the subject's own pictures, forward from the third one and then back."""
    pictures = [0, 5, 10, 15]
    SubjectWriter(subject).update_meta(video={"pictures": pictures, "seconds": [n / 25 for n in pictures]})
    np.save(tmp_path / "masks.npy", {i: {1: own[i]} for i in (2, 3, 1, 0)})
    np.testing.assert_array_equal(run(subject, tmp_path / "masks.npy"), own)
    np.savez(tmp_path / "masks.npz", **{f"frame_{i}": own[i] for i in (2, 3, 1, 0)})
    np.testing.assert_array_equal(run(subject, tmp_path / "masks.npz"), own)


def test_numbers_are_the_videos(subject: Path, own: np.ndarray, tmp_path: Path):
    """The subject has every third picture of the video, the file a mask of each."""
    pictures = [1, 4, 7, 10]
    SubjectWriter(subject).update_meta(video={"pictures": pictures, "seconds": [n / 25 for n in pictures]})
    every = corner(np.zeros((12, *own.shape[1:]), bool))
    every[pictures] = own
    np.save(tmp_path / "masks.npy", every)
    np.testing.assert_array_equal(run(subject, tmp_path / "masks.npy"), own)


def test_what_sam_saves_for_each_picture(subject: Path, own: np.ndarray, tmp_path: Path):
    """An archive for each picture, in which boxes and scores lie beside the masks."""
    (tmp_path / "sam").mkdir()
    for i, (other, mask) in enumerate(zip(corner(own), own)):
        both = np.stack([other, mask])
        np.savez(tmp_path / f"sam/{i}.npz", out_binary_masks=both, out_probs=np.ones(2), out_boxes_xywh=np.ones((2, 4)))
    np.testing.assert_array_equal(run(subject, tmp_path / "sam"), own)


def test_what_is_no_stack(subject: Path, own: np.ndarray, tmp_path: Path):
    path = tmp_path / "masks.npy"
    wrong = [own[0], np.float32(3), {}, {"person": own[0], "dog": own[1]}, own[None, None]]
    for content in wrong:
        np.save(path, content)
        with pytest.raises(UserError, match=r"masks\.npy must hold masks of all pictures"):
            run(subject, path)
    np.save(path, own[:3])
    with pytest.raises(UserError, match="holds 3 pictures for 4 frames"):
        run(subject, path)
    np.save(path, {0: {1: own[0], 2: own[1, :5]}, 1: {1: own[1]}, 2: {1: own[2]}, 3: {1: own[3]}})
    with pytest.raises(UserError, match=r"masks\.npy must hold masks of height x width for the objects"):
        run(subject, path)
    path.write_bytes(b"\x93NUMPY")
    with pytest.raises(UserError, match=r"masks\.npy is not a readable npy file"):
        run(subject, path)
