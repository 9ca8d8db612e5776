import json

import numpy as np
import pytest
from rich.progress import Progress

from hashhuman.data.splits import split
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.io.files import read_image, write_image
from preprocess.keypoints.points import others_folder
from preprocess.masks import matting
from preprocess.masks.blazepose import BlazePoseMasks
from preprocess.stage import is_finished, run_stages
from tests.preprocess.masks.clip import BYSTANDER, film, iou


def run(root, **options):
    with Progress(disable=True) as progress:
        return BlazePoseMasks(**options).run(root, progress)


def read(root, frame):
    return read_image(root / f"mask/00/{frame:06d}.png")


def test_masks_of_a_fixed_camera(tmp_path):
    clip = film(tmp_path)
    assert "static camera" in run(tmp_path)
    for frame, (truth, network) in enumerate(zip(clip.masks, clip.networks)):
        mask = read(tmp_path, frame)
        coarse = network > 127
        coarse[BYSTANDER] = False
        assert iou(mask > 127, truth) > max(0.98, iou(coarse, truth) + 0.01), frame
        assert not mask[BYSTANDER].any()
    assert len(np.unique(read(tmp_path, 1))) > 10  # coverage, not thresholded


def test_masks_of_a_moving_camera(tmp_path):
    clip = film(tmp_path, drift=3)
    assert "moving camera" in run(tmp_path)
    for frame, truth in enumerate(clip.masks):
        assert iou(read(tmp_path, frame) > 127, truth) > max(0.97, iou(clip.networks[frame] > 127, truth) + 0.01), frame


def test_a_band_that_the_network_lost_in_one_picture_comes_back(tmp_path):
    clip = film(tmp_path)
    run(tmp_path, background=False)
    band = np.s_[76:80]
    lost, truth = clip.networks[3][band] > 127, clip.masks[3][band]
    assert not (lost & truth).any()
    assert (read(tmp_path, 3)[band] > 127)[truth].mean() > 0.6


def test_there_is_no_mask_and_no_training_picture_where_nobody_was_found(tmp_path):
    clip = film(tmp_path, absent=(0, 1, 6))
    summary = run(tmp_path)
    assert "nobody in 3 of them" in summary
    for frame, truth in enumerate(clip.masks):
        if frame in (0, 1, 6):
            assert not read(tmp_path, frame).any()
        else:
            assert iou(read(tmp_path, frame) > 127, truth) > 0.95, frame
    splits = split(Subject(tmp_path), holdout_every=3)
    assert [p.frame for p in splits["train"]] == [2, 4, 5]
    assert [p.frame for p in splits["heldout"]] == [3, 7]


def test_parts_fill_the_mask(tmp_path):
    film(tmp_path)
    run(tmp_path, pictures=2)
    subject = Subject(tmp_path)
    for picture in subject.pictures:
        np.testing.assert_array_equal(subject.parts(picture) != 0, subject.mask(picture) > 0.5)
    assert len(list((tmp_path / "pictures/masks").iterdir())) == 2


def test_is_stamped_and_redone_when_the_network_or_the_body_changes(tmp_path):
    film(tmp_path, frames=4)
    stage = BlazePoseMasks()
    run_stages([stage], tmp_path)
    assert is_finished(stage, tmp_path) and not is_finished(BlazePoseMasks(background=False), tmp_path)
    json.dumps(stage.settings())
    film(tmp_path, frames=4, absent=(2,))
    assert not is_finished(stage, tmp_path)


def test_asks_for_what_is_missing(tmp_path):
    film(tmp_path, frames=4)
    (tmp_path / "keypoints/segmentation/00/000002.png").unlink()
    with pytest.raises(UserError, match=r"000002\.png.*keypoints=blazepose"):
        run(tmp_path)


def test_a_background_of_no_pictures_is_refused():
    with pytest.raises(UserError, match="background_pictures=0 must be at least 1"):
        BlazePoseMasks(background_pictures=0)


def test_the_plate_of_a_fixed_camera_improves_the_outline(tmp_path):
    clip = film(tmp_path)
    run(tmp_path, matting=False)
    assert not (tmp_path / "plate").exists()
    before = [np.abs(read(tmp_path, frame) / 255 - truth).sum() for frame, truth in enumerate(clip.masks)]
    run(tmp_path)
    after = [np.abs(read(tmp_path, frame) / 255 - truth).sum() for frame, truth in enumerate(clip.masks)]
    assert np.mean(after) < 0.95 * np.mean(before)  # the toy has no coverage between 0 and 1
    color, known = Subject(tmp_path).plate(0)
    free = known & ~np.any(clip.masks, 0)
    assert free.mean() > 0.3
    first = Subject(tmp_path).image(Subject(tmp_path).pictures[0])
    assert np.abs(color[free].astype(float) - first[free]).mean() < 4


def test_ragged_outlines_are_not_taken(tmp_path, monkeypatch):
    film(tmp_path)
    run(tmp_path, matting=False)
    before = [read(tmp_path, frame) for frame in range(2)]
    speckled = np.random.default_rng(0).random
    monkeypatch.setattr(matting, "matte", lambda image, mask, plate: speckled(mask.shape).astype(np.float32))
    run(tmp_path)
    assert not (tmp_path / "plate").exists()
    assert all(np.array_equal(read(tmp_path, frame), mask) for frame, mask in enumerate(before))


def test_a_moving_camera_has_no_plate_and_an_old_one_goes(tmp_path):
    film(tmp_path, frames=4)
    run_stages([BlazePoseMasks()], tmp_path)
    assert Subject(tmp_path).plate(0) is not None
    stage = BlazePoseMasks(background=False)
    run_stages([stage], tmp_path)
    assert Subject(tmp_path).plate(0) is None and is_finished(stage, tmp_path)


def test_pixels_of_somebody_in_front_are_left_out(tmp_path):
    clip = film(tmp_path)
    theirs = np.zeros(clip.masks[4].shape, np.uint8)
    theirs[60:90] = 255
    write_image(others_folder(tmp_path) / "000004.png", theirs)
    run(tmp_path)
    assert not read(tmp_path, 4)[60:90].any() and clip.masks[4][60:90].any()
    assert read(tmp_path, 2)[60:90].any()
