import json

import numpy as np
import pytest
import torch
from rich.progress import Progress
from torch.nn import functional as F

from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.io.files import read_image
from preprocess.masks.folder import FolderMasks
from preprocess.masks.schp import native
from preprocess.masks.schp.labels import LABEL_SETS
from preprocess.masks.schp.native import SchpMasks
from preprocess.stage import is_finished, run_stages
from tests import toy
from tests.preprocess.masks.schp.layout import random_weights, upstream


@pytest.fixture
def subject(tmp_path):
    """A toy subject of one picture, without masks."""
    root = toy.write_subject(tmp_path / "toy", n_frames=1, n_cameras=1)
    for name in ("mask", "schp"):
        (root / name / "00/000000.png").unlink()
    return root


def run(root, **options):
    with Progress(disable=True) as progress:
        return SchpMasks(**options).run(root, progress)


def test_random_weights_parse_at_full_size_alike_each_time(subject, tmp_path, monkeypatch):
    """With nobody cropped away, so that all that the network says is seen."""
    monkeypatch.setattr("preprocess.masks.schp.person.keep_person", lambda labels, body: labels)
    weights = random_weights(upstream(20))
    wrapped = {f"module.{name}": torch.from_numpy(value) for name, value in weights.items()}
    torch.save({"state_dict": wrapped}, tmp_path / "random.pth")
    found = []
    for _ in range(2):
        run(subject, checkpoint=str(tmp_path / "random.pth"), flip=False)
        reader = Subject(subject)
        found.append(reader.parts(reader.pictures[0]))
        np.testing.assert_array_equal(reader.mask(reader.pictures[0]), found[-1] != 0)
    assert found[0].shape == (toy.SIZE, toy.SIZE) and len(np.unique(found[0])) > 2
    np.testing.assert_array_equal(*found)
    assert read_image(subject / "mask/00/000000.png").dtype == np.uint8
    assert len(list((subject / "pictures/masks").iterdir())) == 1


@pytest.fixture
def pascal(tmp_path, monkeypatch):
    """A stand-in for the network with Pascal's classes: arms where it is green or blue, torso elsewhere on the toy."""

    def network(x: torch.Tensor) -> torch.Tensor:
        small = F.interpolate(x, (128, 128), mode="bilinear", align_corners=True)
        pixels = small * torch.tensor([0.225, 0.224, 0.229])[:, None, None]
        blue, green, red = (pixels + torch.tensor([0.406, 0.456, 0.485])[:, None, None]).unbind(1)
        logits = torch.zeros(len(x), 7, 128, 128)
        logits[:, 2] = red + blue + green - 0.2
        logits[:, 3] = 3 * torch.maximum(blue, green) - red - 0.2
        return logits

    class Loaded(torch.nn.Module):
        forward = staticmethod(network)

    monkeypatch.setattr(native, "load_network", lambda path, labels: Loaded())
    (tmp_path / "pascal.pth").touch()
    return {"labels": "pascal", "checkpoint": str(tmp_path / "pascal.pth")}


def test_labels_lie_on_the_toy_and_its_arms_are_told_apart(tmp_path, pascal):
    root = toy.write_subject(tmp_path / "toy", n_frames=4, n_cameras=2)
    truth = {(p.camera, p.frame): Subject(root).parts(p) for p in Subject(root).pictures}
    assert "8 masks; the person fills" in run(root, **pascal)
    for picture in (subject := Subject(root)).pictures:
        exact, found = truth[picture.camera, picture.frame], subject.parts(picture)
        overlap = ((exact != 0) & (found != 0)).sum() / ((exact != 0) | (found != 0)).sum()
        assert overlap > 0.85, picture
        for arm in (14, 15):
            wrong = (found == arm) & (exact == 29 - arm)
            assert wrong.sum() <= 0.1 * (exact == 29 - arm).sum(), picture


def test_is_stamped_and_redone_with_another_checkpoint(subject, tmp_path, pascal):
    stage = SchpMasks(**pascal)
    run_stages([stage], subject)
    assert is_finished(stage, subject) and not is_finished(SchpMasks(**pascal, flip=False), subject)
    json.dumps(stage.settings())
    (tmp_path / "pascal.pth").write_text("newer")
    assert not is_finished(stage, subject)


def test_a_missing_checkpoint_stops_everything_before_it_starts(subject, tmp_path, monkeypatch):
    monkeypatch.setenv("HASHHUMAN_MODELS", str(tmp_path / "weights"))
    for key, labels in LABEL_SETS.items():
        first = FolderMasks(str(tmp_path / "no such folder"))  # would fail first if it ran
        with pytest.raises(UserError) as error:
            run_stages([first, SchpMasks(key)], subject)
        assert f"{tmp_path}/weights/schp/{labels.checkpoint}: download" in str(error.value)
    assert not (subject / "stages").exists()


def test_says_what_is_wrong_with_the_options():
    with pytest.raises(UserError, match="labels=lipp is none of lip, cihp, atr, pascal"):
        SchpMasks("lipp")
    for scales in ([], [1.0, 0.0]):
        with pytest.raises(UserError, match="scales="):
            SchpMasks(scales=scales)
