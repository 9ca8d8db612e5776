"""The video rendered again."""

import dataclasses
import shutil
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.evaluation.composite import Composite, _frame_rate, filled
from hashhuman.evaluation.evaluator import Evaluator
from hashhuman.evaluation.metrics.protocols import Strict
from hashhuman.evaluation.product import Evaluation
from hashhuman.io.files import write_image
from tests.hashhuman.fakes import FakeAvatar, FakeData


@pytest.fixture
def filmed(toy_folder: Path, tmp_path: Path) -> FakeData:
    """The toy in front of a coloured ramp, and its plate, of which one corner was never free. Ten frames a second."""
    root = Path(shutil.copytree(toy_folder, tmp_path / "toy"))
    subject, writer = Subject(root), SubjectWriter(root)
    height, width = subject.image(subject.pictures[0]).shape[:2]
    ramp = np.stack([np.full((height, width), 40), *np.mgrid[60 : 60 + height, 90 : 90 + width]], -1).astype(np.uint8)
    for picture in subject.pictures:
        mask = subject.mask(picture)[..., None]
        write_image(picture.image, (subject.image(picture) * mask + ramp * (1 - mask)).round().astype(np.uint8))
    known = np.ones((height, width), bool)
    known[:3, :3] = False
    writer.write_plate(0, np.where(known[..., None], ramp, 0), known)
    writer.update_meta(video={"seconds": [0.1 * frame for frame in range(6)]})
    return FakeData(root)


def made(data: FakeData, folder: Path, avatar: FakeAvatar):
    return Composite(wanted=True, fps=25).make(Evaluation(avatar, data, folder, {}, {}))


def test_the_truth_is_the_filmed_video(filmed: FakeData, tmp_path: Path):
    result = made(filmed, tmp_path / "out", FakeAvatar())
    report = result.report["composite"]
    assert [(row["picture"], row["split"]) for row in report["each"]] == [
        (f"00/{frame:06d}", split)
        for frame, split in enumerate(["train", "heldout", "train", "train", "others", "others"])
    ]
    assert report["mean"].keys() == {"all", "train", "heldout", "others"} and report["mean"]["all"] > 45
    video = iio.imread(tmp_path / "out/composite.mp4", plugin="pyav")
    assert len(video) == 6 and iio.immeta(tmp_path / "out/composite.mp4", plugin="pyav")["fps"] == 10
    image = filmed.subject.image(filmed.subject.pictures[0]).astype(int)
    assert np.abs(video[0][: image.shape[0], : image.shape[1]].astype(int) - image).mean() < 6


def test_an_avatar_that_is_missing_shows_the_plate(filmed: FakeData, tmp_path: Path):
    """The error is that of the person's pixels alone, by hand."""
    nobody = FakeAvatar(lambda image: dataclasses.replace(image, rgb=0 * image.rgb, alpha=0 * image.alpha))
    rows = made(filmed, tmp_path, nobody).report["composite"]["each"]
    plate = filled(*filmed.subject.plate(0))
    for row, picture in zip(rows, (p for p in filmed.subject.pictures if p.camera == 0)):
        error = ((filmed.subject.image(picture) / 255.0 - plate) ** 2).mean()
        assert row["psnr"] == pytest.approx(-10 * np.log10(error), abs=0.01) and row["psnr"] < 30


def test_unknown_places_take_colours_from_around():
    color, known = np.full((9, 9, 3), 200, np.uint8), np.ones((9, 9), bool)
    color[3:6, 3:6], known[3:6, 3:6] = 0, False
    assert np.abs(filled(color, known) - 200 / 255).max() < 0.01


def test_without_a_plate_it_is_refused_before_training(toy_folder: Path, filmed: FakeData):
    asked = Evaluator(Strict(None), [], None, False, {}, {"composite": Composite(True, 25)}, composite=True)
    with pytest.raises(UserError, match=r"eval\.composite=true needs .*plate"):
        asked.check(Subject(toy_folder))
    asked.check(filmed.subject)
    Evaluator(Strict(None), [], None, False, {}, {"composite": Composite(False, 25)}).check(Subject(toy_folder))
    with pytest.raises(UserError, match=r"eval\.products\.composite, which is null"):
        Evaluator(Strict(None), [], None, False, {}, {"composite": None}, composite=True)


def test_it_is_made_on_request_only(filmed: FakeData, tmp_path: Path):
    result = Composite(wanted=False, fps=25).make(Evaluation(FakeAvatar(), filmed, tmp_path / "out", {}, {}))
    assert not result.files and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("seconds", "fps"),
    [
        ([0.0, 0.1, 0.2], 10),
        ([0.0, 3.0, 6.0], 1),
        ([0.0, 1e-320], 25),
        ([0.0, float("inf")], 25),
        ([0.0, float("nan")], 25),
        ([0.0, 10**400], 25),
        ([1.0, 0.0], 25),
        (["0", "1"], 25),
        (None, 25),
    ],
)
def test_times_that_are_none_are_not_used(seconds: object, fps: int):
    """subject.json comes from anybody."""
    assert _frame_rate({"video": {"seconds": seconds}}, 25) == fps
