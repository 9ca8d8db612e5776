"""A subject as training sees it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from lightning import Trainer

from hashhuman.data import damage, lip
from hashhuman.data.datamodule import SubjectDataModule, unmix
from hashhuman.data.ray_sampler import RaySampler
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io import files
from tests import toy

SHARES = {"body": 0.7, "surround": 0.3}


def made(root: Path, **changes) -> SubjectDataModule:
    """The toy, all its frames of camera 0 for training."""
    options = {
        "root": root,
        "smpl_meta": None,
        "train_cameras": [0],
        "train_frames": None,
        "first_frame": 0,
        "frame_step": 1,
        "holdout_every": 0,
        "test_every": 1,
        "test_frames": None,
        "max_size": None,
        "ray_sampler": RaySampler(64, SHARES, 0, 8, "black"),
        "batches_per_epoch": 3,
        "val_views": 2,
        "reach": 0.1,
        "cache_mb": 0,
    }
    return SubjectDataModule(**(options | changes))


def test_splits_and_poses(toy_folder):
    data = made(toy_folder, train_frames=4, holdout_every=3)
    assert data.train_frames == [0, 2, 3]
    assert [picture.frame for picture in data.splits["heldout"]] == [1]
    assert [picture.frame for picture in data.splits["novel_view"]] == [0, 1, 2, 3]
    assert [picture.frame for picture in data.splits["novel_pose"]] == [4, 5]
    for pose, frame in zip(data.train_poses, data.train_frames):
        torch.testing.assert_close(pose.body_pose, toy.pose(frame).body_pose)


def test_views(toy_folder):
    data = made(toy_folder, train_frames=4, holdout_every=3)
    third, held = data.view(data.splits["train"][1]), data.view(data.splits["heldout"][0])
    assert (third.name, third.frame) == ("00/000002", 1)  # the second of the training frames
    assert (held.name, held.frame) == ("00/000001", None)
    picture = data.splits["train"][1]
    torch.testing.assert_close(third.image, torch.from_numpy(data.subject.image(picture)).float() / 255)
    torch.testing.assert_close(third.mask, torch.from_numpy(data.subject.mask(picture)))
    torch.testing.assert_close(third.camera.K, toy.camera(0).K)
    torch.testing.assert_close(third.pose.transl, toy.pose(2).transl)


def repaint(root: Path, quality: int | None, whole: bool) -> np.ndarray:
    """Gives picture 00/000000 a soft mask, and a bright background (`whole`) or none; returns the person on black."""
    body = toy.template()
    face = toy.cast(toy.world_vertices(body, 0), body.faces, toy.camera(0))
    mask = cv2.GaussianBlur((face >= 0).astype(np.float32), (0, 0), 1.0)
    mask[mask < 0.02] = 0
    person = np.full((toy.SIZE, toy.SIZE, 3), (200, 120, 60)) * mask[..., None]
    image = person + (1 - mask[..., None]) * 180 * whole
    path = next((root / "images/00").glob("000000.*"))
    if quality is None:
        files.write_image(path, image.round().astype(np.uint8))
    else:  # the name stays, since annots.npy lists it
        jpeg = cv2.imencode(".jpg", image.round().astype(np.uint8)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        path.write_bytes(jpeg.tobytes())
    files.write_image(root / "mask/00/000000.png", (255 * mask).round().astype(np.uint8))
    return person / 255


@pytest.mark.parametrize("quality", [None, 90])
@pytest.mark.parametrize("whole", [False, True])
def test_photographs_are_cut_out_and_people_on_black_are_not_cut_twice(toy_copy, quality: int | None, whole: bool):
    person = repaint(toy_copy, quality, whole)
    data = made(toy_copy)
    image, mask = data.masked(data.splits["train"][0])
    assert not image[mask == 0].any()
    edge = (mask > 0.3) & (mask < 0.7)
    assert edge.sum() > 20
    if whole:  # the background seen through the soft edge stays, weighted by the mask
        person = mask[..., None] * (person + (1 - mask[..., None]) * 180 / 255)
    tolerance = 0.004 if quality is None else 0.03
    np.testing.assert_allclose(image[edge].mean(0), person[edge].mean(0), atol=tolerance)


def test_scaled_pictures_average_and_keep_their_camera(toy_folder):
    data, small = made(toy_folder), made(toy_folder, max_size=24)
    picture = data.splits["train"][0]
    view, half = data.view(picture), small.view(picture)
    assert half.image.shape == (24, 24, 3) and half.mask.shape == (24, 24)
    assert (half.camera.height, half.camera.width) == (24, 24)
    torch.testing.assert_close(half.camera.K, view.camera.scaled(0.5).K)
    torch.testing.assert_close(half.image.mean((0, 1)), view.image.mean((0, 1)), atol=2e-3, rtol=0)
    expected = cv2.resize(view.mask.numpy(), (24, 24), interpolation=cv2.INTER_AREA)
    assert np.abs(half.mask.numpy() - expected).mean() < 0.03  # averages of a triangle, not of a box
    # The silhouette lies where the smaller camera sees the body.
    rows, columns = np.nonzero(half.mask.numpy() > 0.5)
    vertices = half.camera.project(torch.from_numpy(small.subject.vertices(0)))
    assert columns.min() >= vertices[:, 0].min() - 1 and columns.max() <= vertices[:, 0].max() + 1
    assert rows.min() >= vertices[:, 1].min() - 1 and rows.max() <= vertices[:, 1].max() + 1


def test_pictures_are_never_enlarged(toy_folder):
    assert made(toy_folder, max_size=1000).view(made(toy_folder).splits["train"][0]).image.shape == (48, 48, 3)


@pytest.mark.parametrize("max_size", [None, 31])
def test_part_labels(toy_folder, max_size: int | None):
    data = made(toy_folder, max_size=max_size)
    picture = data.splits["train"][0]
    labels, size = data.parts(picture), max_size or 48
    assert labels.shape == (size, size)
    classes = data.subject.parts(picture)
    for index, members in enumerate(lip.PART_CLASSES.values()):
        share = np.isin(classes, members).mean()
        assert abs((labels == index).mean() - share) < (1e-9 if max_size is None else 0.01)
    assert (labels == 255).mean() == pytest.approx((classes == 0).mean(), abs=0.02)


def test_without_part_labels(toy_copy):
    for path in (toy_copy / "schp").rglob("*.png"):
        path.unlink()
    data = made(toy_copy)
    assert data.parts(data.splits["train"][0]) is None
    data.setup("fit")
    assert set(data.store.pools) == {"body", "surround"}


def test_batches_of_training(toy_folder):
    data = made(toy_folder, train_frames=3)
    with pytest.raises(RuntimeError, match="setup"):
        data.train_dataloader()
    data.setup("fit")
    store = data.store
    data.setup("fit")
    assert data.store is store  # read once
    draws = list(data.train_dataloader())
    assert len(draws) == 3
    for draw in draws:
        batch = draw()
        assert len(batch.rays) == 64 and set(batch.rays.frames.tolist()) <= {0, 1, 2}
    assert sum((store.pools[f"part {part}"] >= 0).sum() for part in range(5)) == len(store.pools["body"])


def test_the_body_behind_each_pixel_is_its_frames(toy_folder):
    """Frames are positions among the training frames: rays of picture 3 belong to the third pose."""
    data = made(toy_folder, first_frame=2, train_frames=3)
    assert data.train_frames == [2, 3, 4]
    assert [data.training_picture(picture).frame for picture in data.splits["train"]] == [0, 1, 2]
    vertices = data.training_picture(data.splits["train"][1]).vertices
    torch.testing.assert_close(vertices, toy.world_vertices(toy.template(), 3))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"train_frames": 4}, ["01/000004", "01/000005"]),  # novel poses, if there are any,
        ({}, ["01/000001", "01/000004"]),  # or else novel views, evenly spread,
        ({"train_cameras": [0, 1], "holdout_every": 2}, ["01/000001", "00/000005"]),  # or else held-out frames,
        ({"train_cameras": [0, 1]}, ["01/000001", "01/000004"]),  # or else training pictures
    ],
)
def test_what_validation_looks_at(toy_folder, options: dict, expected: list[str]):
    views = list(made(toy_folder, **options).val_dataloader())
    assert [view.name for view in views] == expected


def test_fewer_views_than_asked_for(toy_folder):
    assert len(list(made(toy_folder, train_frames=5, val_views=9).val_dataloader())) == 1
    assert not list(made(toy_folder, val_views=0).val_dataloader())


def test_data_follows_the_trainers_device(toy_folder):
    data = made(toy_folder)
    assert data.device == torch.device("cpu")
    data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    assert data.device == torch.device("cpu")
    view = data.view(data.splits["train"][0])
    assert data.transfer_batch_to_device(view, torch.device("meta"), 0) is view


@pytest.mark.parametrize("kind", ["image", "mask"])
def test_damaged_pictures_are_left_out_and_reported(toy_copy, monkeypatch, caplog, kind):
    """A tenth of two pictures is none, so that the share is raised here."""
    data = made(toy_copy, train_cameras=[0, 1], cache_mb=1)
    first = data.splits["train"][0]
    damaged = getattr(first, kind)
    damaged.write_bytes(damaged.read_bytes()[:60])
    with pytest.raises(UserError, match=rf"{damaged.name} is not a readable image"):
        made(toy_copy, train_cameras=[0, 1]).setup("fit")
    monkeypatch.setattr(damage, "DAMAGED", 0.5)
    with pytest.raises(UserError, match=rf"{damaged.name} is not a readable image"):
        made(toy_copy, train_cameras=[0, 1], strict=True).setup("fit")
    for _ in range(2):  # what is damaged is not cached
        data = made(toy_copy, train_cameras=[0, 1], cache_mb=1)
        caplog.clear()
        data.setup("fit")
        assert f"1 of {len(data.splits['train'])} training pictures are left out: {damaged}" in caplog.text
        assert data.store is not None and data.store.world_from_pixel.shape[0] == len(data.splits["train"]) - 1
        assert first.frame in data.train_frames  # parameters of frames keep their places
    assert isinstance(data.view_or_damage(first), UserError)
    with pytest.raises(UserError):
        made(toy_copy, train_cameras=[0, 1], strict=True).view_or_damage(first)


def behind(root: Path, value: int) -> np.ndarray:
    """Puts the person, half covering a third of her pixels, before a plate of one grey; returns her own colours."""
    subject = Subject(root)
    writer, picture = SubjectWriter(root), subject.pictures[0]
    own, inside = subject.image(picture).astype(np.float32), (subject.mask(picture) > 0.5).astype(np.float64)
    mask = np.where(np.indices(inside.shape).sum(0) % 3 == 0, 0.5, 1) * inside  # an even area of a half would be an id
    mixed = mask[..., None] * own + (1 - mask[..., None]) * value
    files.write_image(picture.image, np.rint(mixed).astype(np.uint8))
    writer.write_mask(0, picture.frame, mask)
    return own


def plate_of(root: Path, value: int, known: bool) -> None:
    camera = Subject(root).camera(0)
    size = camera.height, camera.width
    SubjectWriter(root).write_plate(0, np.full((*size, 3), value, np.uint8), np.full(size, known))


def test_the_plate_behind_the_outline_is_taken_away(toy_copy):
    own = behind(toy_copy, 180)
    cut = made(toy_copy).view(made(toy_copy).splits["train"][0])
    plate_of(toy_copy, 180, known=True)
    data = made(toy_copy)
    unmixed = data.view(data.splits["train"][0])
    inside = unmixed.mask > 0.4
    alpha = unmixed.mask[inside][:, None]
    np.testing.assert_allclose(unmixed.image[inside], alpha * own[inside.numpy()] / 255, atol=0.006)
    assert not unmixed.image[~inside].any()
    assert 0.2 < (alpha < 0.6).float().mean() < 0.8
    blended = alpha * (alpha * own[inside.numpy()] + (1 - alpha) * 180) / 255  # what the mask leaves of the plate
    np.testing.assert_allclose(cut.image[inside], blended, atol=0.006)


def test_a_plate_that_is_unknown_changes_nothing(toy_copy):
    behind(toy_copy, 180)
    plain = made(toy_copy)
    before = plain.view(plain.splits["train"][0]).image
    plate_of(toy_copy, 20, known=False)
    data = made(toy_copy)
    torch.testing.assert_close(data.view(data.splits["train"][0]).image, before)


def test_unmixed_colours_stay_between_black_and_the_coverage():
    image, mask = np.full((1, 3, 3), 0.5, np.float32), np.array([[0.25, 0.5, 1.0]], np.float32)
    plate, known = np.array([[[255] * 3, [0] * 3, [255] * 3]], np.uint8), np.ones((1, 3), bool)
    np.testing.assert_allclose(unmix(image, mask, plate, known)[0, :, 0], [0.0, 0.5, 0.5])


def test_a_new_plate_is_not_answered_from_the_cache(toy_copy):
    behind(toy_copy, 180)
    before, _ = made(toy_copy, cache_mb=64).crops()
    plate_of(toy_copy, 180, known=True)
    after, _ = made(toy_copy, cache_mb=64).crops()
    assert not np.array_equal(before.color, after.color)


def test_a_plate_of_another_size(toy_copy):
    behind(toy_copy, 180)
    SubjectWriter(toy_copy).write_plate(0, np.zeros((4, 5, 3), np.uint8), np.ones((4, 5), bool))
    data = made(toy_copy)
    with pytest.raises(UserError, match=r"plate/00 must hold pictures of"):
        data.view(data.splits["train"][0])


def test_damaged_pictures_are_counted_once(toy_copy, monkeypatch, caplog):
    """Carving asks for the crops a second time; so nothing is decoded, counted or warned about again."""
    monkeypatch.setattr(damage, "DAMAGED", 0.5)
    data = made(toy_copy, train_cameras=[0, 1])
    pictures = data.splits["train"]
    for picture in pictures[: len(pictures) // 2]:
        picture.mask.write_bytes(picture.mask.read_bytes()[:60])
    data.setup("fit")
    decoded = data.crops()
    assert data.crops() is decoded and len(decoded[1]) == len(pictures) - len(pictures) // 2
    assert len(data.outlines(100, "cpu")) <= len(decoded[1])
    assert caplog.text.count("training pictures are left out") == 1
