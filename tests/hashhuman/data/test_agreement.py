"""A folder whose cameras, bodies and masks contradict each other is refused, and a right one is not."""

from pathlib import Path

import numpy as np
import pytest

from hashhuman.data.agreement import refuse_contradiction
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.io.files import load_npy, save_npy, write_image
from tests import toy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return toy.write_subject(tmp_path / "toy")


def edit(folder: Path, **changes) -> Subject:
    """Passes entries of the cameras through functions."""
    annots = load_npy(folder / "annots.npy")
    for name, change in changes.items():
        annots["cams"][name] = [change(value) for value in annots["cams"][name]]
    save_npy(folder / "annots.npy", annots)
    return Subject(folder)


def test_a_right_folder_passes(folder: Path):
    subject = Subject(folder)
    refuse_contradiction(subject, subject.pictures)
    refuse_contradiction(subject, [])


@pytest.mark.parametrize(
    "changes",
    [
        {"T": lambda T: T / 1000},  # metres
        {"K": lambda K: np.diag([2.0, 2, 1]) @ K},  # of pictures of twice the size
        {"K": lambda K: np.diag([0.5, 0.5, 1]) @ K},
        {"K": lambda K: np.diag([4.0, 4, 1]) @ K},
        {"R": lambda R: np.diag([1.0, -1, -1]) @ R, "T": lambda T: np.diag([1.0, -1, -1]) @ T},  # OpenGL's axes
    ],
)
def test_cameras_of_other_units_are_refused(folder: Path, changes):
    subject = edit(folder, **changes)
    with pytest.raises(UserError, match=r"T in annots\.npy is in metres .* K is that of pictures of another size"):
        refuse_contradiction(subject, subject.pictures)


def test_inverted_masks_are_refused(folder: Path):
    subject = Subject(folder)
    for picture in subject.pictures:
        mask = subject.mask(picture)
        write_image(picture.mask, np.where(mask > 0.5, 0, 255).astype(np.uint8))
    with pytest.raises(UserError, match="do not lie on the masks"):
        refuse_contradiction(Subject(folder), subject.pictures)


def test_pictures_without_the_person_do_not_count(folder: Path):
    subject = Subject(folder)
    for picture in subject.pictures[:-2]:
        write_image(picture.mask, np.zeros((toy.SIZE, toy.SIZE), np.uint8))
    refuse_contradiction(Subject(folder), subject.pictures)
