"""The scene that the project renders itself."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hashhuman.data.splits import split
from hashhuman.data.subject import Subject
from hashhuman.data.synthetic import SyntheticScene
from hashhuman.io import files

SETTINGS = {"seed": 1, "n_frames": 4, "n_novel": 3, "n_cameras": 3, "test_every": 2, "size": 64}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic")
    SyntheticScene(**SETTINGS).prepare(root)
    return root


def test_the_scene_loads_and_splits(scene: Path):
    subject = Subject(scene)
    found = {name: [(p.camera, p.frame) for p in pictures] for name, pictures in split(subject).items()}
    assert found == {
        "train": [(0, 0), (0, 1), (0, 2), (0, 3)],
        "heldout": [],
        "novel_view": [(1, 0), (2, 0), (1, 2), (2, 2)],
        "novel_pose": [(1, 4), (2, 4), (1, 6), (2, 6)],
    }


def test_pictures_show_the_body(scene: Path):
    """Vertices project into the mask, and the mask extends as far as they do."""
    subject = Subject(scene)
    for picture in subject.pictures:
        pixels = (
            subject.camera(picture.camera).project(torch.from_numpy(subject.vertices(picture.frame)))[:, :2].numpy()
        )
        mask, image = subject.mask(picture), subject.image(picture)
        ys, xs = np.nonzero(mask > 0.5)
        assert np.abs(pixels.min(0) - (xs.min(), ys.min())).max() < 1.6
        assert np.abs(pixels.max(0) - (xs.max(), ys.max())).max() < 1.6
        x, y = np.rint(pixels).astype(int).T
        assert (mask[y, x] > 0).mean() > 0.96  # the rest lies on the outline
        assert not image[mask == 0].any()
        assert (image[mask == 1].max(-1) > 5).all()
        labels = subject.parts(picture)
        assert set(np.unique(labels)) <= {0, 5, 13, 14, 15, 16, 17}
        assert ((labels > 0) == (mask > 0.5)).mean() > 0.97


def test_left_is_the_persons_left(scene: Path):
    """In the first picture the person faces the camera: the left arm and leg are to the right in it."""
    subject = Subject(scene)
    labels = subject.parts(subject.pictures[0])
    mean_x = {label: np.nonzero(labels == label)[1].mean() for label in (14, 15, 16, 17)}
    assert mean_x[14] > mean_x[15]
    assert mean_x[16] > mean_x[17]


def test_the_scene_is_made_once(scene: Path, tmp_path: Path):
    before = {path: path.stat().st_mtime_ns for path in scene.rglob("*.png")}
    SyntheticScene(**SETTINGS).prepare(scene)
    assert {path: path.stat().st_mtime_ns for path in scene.rglob("*.png")} == before
    small = SETTINGS | {"n_frames": 1, "n_novel": 0, "n_cameras": 1, "size": 16}
    SyntheticScene(**small).prepare(tmp_path)
    first = files.read_image(tmp_path / "images/00/000000.png")
    SyntheticScene(**(small | {"seed": 2})).prepare(tmp_path)
    assert (files.read_image(tmp_path / "images/00/000000.png") != first).any()
    assert files.load_json(tmp_path / "scene.json")["seed"] == 2
