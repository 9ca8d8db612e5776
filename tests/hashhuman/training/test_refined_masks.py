"""Masks that a run has learned, from the run to the next training."""

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from hashhuman.cli import commands
from hashhuman.data.subject import Subject
from hashhuman.data.subject.annots import Annots
from hashhuman.errors import UserError
from hashhuman.io.files import write_image
from hashhuman.training import run
from hashhuman.training.refined_masks import distorted
from tests.hashhuman.training.test_refined_poses import finished

__all__ = ["finished"]


@pytest.fixture
def subject(toy_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy_folder, tmp_path / "toy"))


def test_the_training_cameras_masks_are_written_and_read(finished: Path, subject: Path, capsys):
    assert commands.main(["write-masks", str(finished), "--to", str(subject), "--device", "cpu"]) == 0
    written = sorted(path.relative_to(subject).as_posix() for path in (subject / "mask_refined").rglob("*.png"))
    assert written == [f"mask_refined/00/{frame:06d}.png" for frame in range(4)]  # the window, with its held-out frame
    module, data, _ = run.load(finished)
    reader, plain = Subject(subject, masks="mask_refined"), Subject(subject)
    for mine, given in zip(reader.pictures, plain.pictures, strict=True):
        if mine.camera or mine.frame > 3:
            assert mine.mask == given.mask
            continue
        pose = module.avatar.refined_pose(data.subject.pose(mine.frame), mine.frame)
        frame = data.train_frames.index(mine.frame) if mine.frame in data.train_frames else None
        alpha = module.avatar.render_image(data.subject.camera(0), pose, frame).alpha
        np.testing.assert_allclose(reader.mask(mine), alpha, atol=0.51 / 255)
        assert alpha.max() > 0.2 and not np.allclose(reader.mask(mine), plain.mask(given), atol=0.1)
    assert commands.main(["write-masks", str(finished), "--to", str(subject), "--device", "cpu"]) == 2
    assert "mask_refined exists: name another folder with --to, or add --replace." in capsys.readouterr().err
    (subject / "mask_refined").rename(subject / "elsewhere")
    (subject / "mask_refined").symlink_to(subject / "elsewhere")
    assert commands.main(["write-masks", str(finished), "--to", str(subject), "--replace", "--device", "cpu"]) == 2
    assert "is no folder of its own, but a link or a file" in capsys.readouterr().err
    (subject / "mask_refined").unlink()
    (subject / "elsewhere").rename(subject / "mask_refined")
    (subject / "mask_refined/00/000009.png").touch()
    assert commands.main(["write-masks", str(finished), "--to", str(subject), "--replace", "--device", "cpu"]) == 0
    assert len(list((subject / "mask_refined").rglob("*"))) == 5 and not list(subject.glob("*.part"))


def test_few_values_of_a_learned_mask_are_no_ids(subject: Path):
    """An opaque person in an even haze: as a map of ids, this would be a person as large as the haze."""
    camera = Subject(subject).camera(0)
    alpha = np.zeros((camera.height, camera.width), np.uint8)
    alpha[4:-4, 4:-4], alpha[8:-8, 8:-8] = 1, 255
    write_image(subject / "mask_refined/00/000000.png", alpha)
    reader = Subject(subject, masks="mask_refined")
    np.testing.assert_allclose(reader.mask(reader.pictures[0]), alpha / 255, atol=1e-6)
    write_image(subject / "mask_refined/00/000000.png", alpha // 2)
    with pytest.raises(UserError, match="not opaque: train that run longer"):
        reader.mask(reader.pictures[0])
    write_image(subject / "mask_refined/00/000000.png", np.stack([alpha, alpha // 2, alpha], -1))
    with pytest.raises(UserError, match="must be a grey picture of the coverage"):
        reader.mask(reader.pictures[0])


@pytest.mark.parametrize(("name", "said"), [("mask_refined", "There is no folder"), ("../mask", "must be the name")])
def test_a_folder_of_masks_that_is_not_there_is_refused(toy_folder: Path, name: str, said: str):
    with pytest.raises(UserError, match=said):
        Subject(toy_folder, masks=name)


def test_the_lens_is_undone_and_done_again(subject: Path):
    """What was written as the lens shows it is what was rendered once the reader has undone the lens."""
    reader = Subject(subject)
    reader._annots = dataclasses.replace(reader._annots, D=np.array([[-0.8, 0.3, 0.02, -0.01, 0.0]] * 2))
    assert isinstance(reader._annots, Annots)
    camera = reader.camera(0)
    image = np.zeros((camera.height, camera.width), np.float32)
    cv2.circle(image, (camera.width // 5, camera.height // 4), camera.height // 6, 1.0, -1)
    image = cv2.GaussianBlur(image, (0, 0), 1.5)
    shown = distorted(image, reader, 0)
    assert np.abs(shown - image).max() > 0.2
    np.testing.assert_allclose(reader._undistort(shown, 0, cv2.INTER_LINEAR), image, atol=0.08)
