import shutil

import numpy as np
import pytest
from rich.progress import Progress

from hashhuman.data import lip
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.io.files import read_image, write_image
from preprocess.masks.folder import FolderMasks
from tests import toy


@pytest.fixture
def subject(tmp_path):
    """A toy subject without masks, and the masks and labels beside it."""
    root = toy.write_subject(tmp_path / "toy", n_frames=4, n_cameras=1)
    shutil.move(root / "mask" / "00", tmp_path / "mine")
    shutil.move(root / "schp" / "00", tmp_path / "labels")
    return root


def run(root, path, **options):
    with Progress(disable=True) as progress:
        return FolderMasks(str(path), **options).run(root, progress)


def test_takes_masks_and_draws_the_parts(subject, tmp_path):
    run(subject, tmp_path / "mine")
    reader = Subject(subject)
    for picture in reader.pictures:
        own = read_image(tmp_path / "mine" / picture.image.name)
        np.testing.assert_array_equal(reader.mask(picture) * 255, own)
        truth = lip.decode(read_image(tmp_path / "labels" / picture.image.name))
        assert (reader.parts(picture) != truth).mean() < 3e-3
    assert len(list((subject / "pictures/masks").iterdir())) == 4


def test_takes_parts_too(subject, tmp_path):
    write_image(tmp_path / "labels" / "000002.png", lip.encode(np.full((toy.SIZE, toy.SIZE), 10, np.uint8)))
    run(subject, tmp_path / "mine", parts=str(tmp_path / "labels"))
    reader = Subject(subject)
    assert (reader.parts(reader.pictures[2]) == 10).all()


def test_other_names_are_taken_in_order_and_ones_are_stretched(subject, tmp_path):
    for path in sorted((tmp_path / "mine").iterdir()):
        write_image(path, read_image(path) // 255)
        path.rename(path.with_name(f"mask_{path.name}"))
    run(subject, tmp_path / "mine")
    reader = Subject(subject)
    own = read_image(tmp_path / "mine" / "mask_000003.png")
    np.testing.assert_array_equal(reader.mask(reader.pictures[3]), own)
    assert read_image(subject / "mask/00/000003.png").max() == 255


def test_says_what_is_wrong(subject, tmp_path):
    with pytest.raises(UserError, match=r"There is no folder .*elsewhere"):
        run(subject, tmp_path / "elsewhere")
    with pytest.raises(UserError, match="not in the LIP palette"):
        write_image(tmp_path / "labels" / "000001.png", np.full((toy.SIZE, toy.SIZE, 3), 7, np.uint8))
        run(subject, tmp_path / "mine", parts=str(tmp_path / "labels"))
    write_image(tmp_path / "mine" / "000001.png", np.zeros((5, 9), np.uint8))
    with pytest.raises(UserError, match=r"000001\.png is 9 x 5 pixels, but the pictures are 48 x 48"):
        run(subject, tmp_path / "mine")
    (tmp_path / "mine" / "000001.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"000001\.png"):
        run(subject, tmp_path / "mine")
    (tmp_path / "mine" / "000001.png").unlink()
    with pytest.raises(UserError, match="holds 3 pictures for 4 frames"):
        run(subject, tmp_path / "mine")
