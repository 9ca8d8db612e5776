import shutil

import cv2
import numpy as np
import pytest
from rich.progress import Progress

from hashhuman.data import lip
from hashhuman.data.splits import split
from hashhuman.data.subject import Subject, SubjectWriter
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
    (tmp_path / "mine" / "000002.png").unlink()
    with pytest.raises(UserError, match="holds 2 pictures for 4 frames"):
        run(subject, tmp_path / "mine")


def lengthen(subject, pictures):
    """Says that the subject's pictures are these of a video."""
    SubjectWriter(subject).update_meta(video={"pictures": pictures, "seconds": [n / 25 for n in pictures]})


@pytest.mark.parametrize("name", ["mask_{}.png", "{:06d}.png", "clip2_{}_mask.png"])
def test_files_of_the_whole_video_go_by_its_numbers(subject, tmp_path, name):
    """The subject has every third picture; there is a mask of each of the video's."""
    lengthen(subject, [1, 4, 7, 10])
    own = [read_image(path) for path in sorted((tmp_path / "mine").iterdir())]
    for number in range(13):
        decoy = np.zeros_like(own[0])
        decoy[:9, :9] = 255
        write_image(tmp_path / "all" / name.format(number), own[(number - 1) // 3] if number % 3 == 1 else decoy)
    (tmp_path / "all" / name.format(0)).unlink()
    write_image(tmp_path / "all" / name.format(0), own[0])
    run(subject, tmp_path / "all")
    for picture, expected in zip(Subject(subject).pictures, own):
        np.testing.assert_array_equal(Subject(subject).mask(picture) * 255, expected)


def test_masks_of_the_video_before_it_was_cut_are_refused(subject, tmp_path):
    """Their numbers are those of pictures that the video has, but they show others."""
    video = {"pictures": [0, 1, 2, 3], "seconds": [0.0, 0.04, 0.08, 0.12], "total": 4}
    SubjectWriter(subject).update_meta(video=video)
    for number in range(4, 6):
        shutil.copy(tmp_path / "mine/000001.png", tmp_path / f"mine/{number:06d}.png")
    run(subject, tmp_path / "mine")  # tools count a picture or two differently
    for number in range(6, 12):
        shutil.copy(tmp_path / "mine/000001.png", tmp_path / f"mine/{number:06d}.png")
    with pytest.raises(UserError, match=r"mine goes on to picture 11 \(from 0\), but the video has 4 pictures"):
        run(subject, tmp_path / "mine")


def test_numbers_from_one_and_without_leading_zeros(subject, tmp_path):
    own = [read_image(path) for path in sorted((tmp_path / "mine").iterdir())]
    lengthen(subject, [0, 3, 9, 10])
    for frame, number in enumerate([1, 4, 10, 11]):
        write_image(tmp_path / "ones" / f"{number}.png", own[frame])
    for number in (2, 3, 5, 6, 7, 8, 9):
        write_image(tmp_path / "ones" / f"{number}.png", own[0])
    run(subject, tmp_path / "ones")
    for picture, expected in zip(Subject(subject).pictures, own):
        np.testing.assert_array_equal(Subject(subject).mask(picture) * 255, expected)


def test_a_missing_and_an_empty_mask_are_not_trained_on(tmp_path):
    root = toy.write_subject(tmp_path / "toy", n_frames=10, n_cameras=1)
    shutil.move(root / "mask" / "00", tmp_path / "mine")
    (tmp_path / "mine" / "000004.png").unlink()
    write_image(tmp_path / "mine" / "000007.png", np.zeros((toy.SIZE, toy.SIZE), np.uint8))
    assert "none or an empty one in 2 pictures (from 4 on)" in run(root, tmp_path / "mine")
    assert [p.frame for p in split(Subject(root))["train"]] == [0, 1, 2, 3, 5, 6, 8, 9]
    for path in (tmp_path / "mine").iterdir():
        write_image(path, np.zeros((toy.SIZE, toy.SIZE), np.uint8))
    with pytest.raises(UserError, match="are empty"):
        run(root, tmp_path / "mine")


def test_of_a_folder_for_each_object_that_on_the_body_is_taken(subject, tmp_path):
    for path in sorted((tmp_path / "mine").iterdir()):
        other = np.zeros((toy.SIZE, toy.SIZE), np.uint8)
        other[:8, :8] = 255
        write_image(tmp_path / "objects" / "1" / path.name, other)
        write_image(tmp_path / "objects" / "2" / path.name, read_image(path))
    run(subject, tmp_path / "objects")
    reader = Subject(subject)
    for picture in reader.pictures:
        own = read_image(tmp_path / "mine" / picture.image.name)
        np.testing.assert_array_equal(reader.mask(picture) * 255, own)


def test_masks_of_the_videos_own_size(subject, tmp_path):
    for path in sorted((tmp_path / "mine").iterdir()):
        large = cv2.resize(read_image(path), (145, 144), interpolation=cv2.INTER_NEAREST)  # off by rounding
        write_image(tmp_path / "large" / path.name, large)
    run(subject, tmp_path / "large")
    reader = Subject(subject)
    for picture in reader.pictures:
        own = read_image(tmp_path / "mine" / picture.image.name) > 127
        mine = reader.mask(picture) > 0.5
        assert (own & mine).sum() / (own | mine).sum() > 0.95
