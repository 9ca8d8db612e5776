"""EasyMocap's detections as the subject's keypoints."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rich.progress import Progress

from hashhuman.errors import UserError
from hashhuman.io.files import load_json
from preprocess.easymocap.source import EasyMocapFolder
from preprocess.keypoints.easymocap import EasyMocapKeypoints
from preprocess.keypoints.points import Keypoints, body25_folder, points_path
from preprocess.skeleton import BODY_25
from preprocess.stage import run_stage
from tests.preprocess.easymocap import folders


def convert(subject: Path, root: Path, person=None, **source) -> Keypoints:
    stage = EasyMocapKeypoints(EasyMocapFolder(str(root), **source), person, lift=False, pictures=1)
    with Progress(disable=True) as progress:
        run_stage(stage, subject, progress)
    return Keypoints.load(points_path(subject))


def given(row: int) -> np.ndarray:
    """BODY_25 as the keypoints can tell it: without the means that stand for no single point of ours."""
    points = folders.body25(row)
    points[[i for i, names in enumerate(BODY_25) if len(names) != 1]] = 0
    return points


def test_follows_one_person(subject, root):
    """The larger one, although the order of the two changes from file to file."""
    keypoints = convert(subject, root)
    assert keypoints.detected.all()
    single = [i for i, names in enumerate(BODY_25) if len(names) == 1]
    for row in range(folders.FRAMES):
        np.testing.assert_allclose(keypoints.body25(row)[single], given(row)[single], atol=1e-3)
    written = load_json(body25_folder(subject) / "000002_keypoints.json")["people"][0]["pose_keypoints_2d"]
    np.testing.assert_allclose(np.reshape(written, (25, 3))[single], given(2)[single], atol=1e-3)


def test_follows_whom_the_user_names(subject, root):
    expected = folders.body25(0, 35.0)[2, :2] * [1, 0.6]
    np.testing.assert_allclose(convert(subject, root, person=1).body25(0)[2, :2], expected, atol=1e-3)
    np.testing.assert_allclose(convert(subject, root, person=[70, 30]).body25(0)[2, :2], expected, atol=1e-3)


def test_pictures_of_another_size(tmp_path, root, assumed):
    subject = folders.write_pictures(tmp_path / "half", assumed.scaled(0.5))
    expected = (folders.body25(1)[2, :2] + 0.5) / 2 - 0.5
    np.testing.assert_allclose(convert(subject, root).body25(1)[2, :2], expected, atol=1e-3)


def test_undoes_distortion(subject, root, assumed):
    """The subject's pictures are rectified, EasyMocap's were not."""
    D = np.array([0.2, -0.1, 0.01, 0.005, 0.02])
    folders.write_cameras(root, {"00": dataclasses.replace(assumed, T=torch.ones(3))}, D)
    found = convert(subject, root).body25(0)[2, :2]
    K = assumed.K.double().numpy()
    ray = np.linalg.solve(K, [*found, 1.0])
    bent, _ = cv2.projectPoints(ray[None], np.zeros(3), np.zeros(3), K, D)
    np.testing.assert_allclose(bent.ravel(), folders.body25(0)[2, :2], atol=0.02)
    assert abs(found - folders.body25(0)[2, :2]).max() > 0.1


def test_a_picture_without_the_person(subject, root):
    folders.write(root / "annots/00/000001.json", folders.annotation(1))
    keypoints = convert(subject, root)
    assert keypoints.detected.tolist() == [True, False, True, True]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a readable JSON"),
        ('{"annots": 3}', "is not a file of EasyMocap"),
        ('[{"keypoints": [[1, 2, 3]]}]', r"lacks the numbers keypoints \(25 x 3\)"),
        ('[{"keypoints": "os.system"}]', "lacks the numbers keypoints"),
        (str([{"keypoints": [[0.0, 0.0, "NaN"]] * 25}]).replace("'", '"'), "not finite|lacks"),
        ('[{"keypoints": %s}]' % ([[1e9, 1e9, 1]] * 25), None),
        ("[" * 100_000, "JSON"),
    ],
)
def test_one_sentence_for_a_bad_file(subject, root, content, message):
    (root / "annots/00/000003.json").write_text(content)
    if message is None:  # far outside, in one frame of four: nobody is there
        assert convert(subject, root).detected.tolist() == [True, True, True, False]
        return
    with pytest.raises(UserError, match=message) as error:
        convert(subject, root)
    assert "\n" not in str(error.value) and not points_path(subject).exists()


def test_nobody(subject, root):
    for frame in range(folders.FRAMES):
        folders.write(root / f"annots/00/{frame:06d}.json", folders.annotation(frame))
    with pytest.raises(UserError, match="EasyMocap found nobody"):
        convert(subject, root)
    (root / "annots/00/000000.json").unlink()
    with pytest.raises(UserError, match=r"000000\.json does not exist"):
        convert(subject, root)
