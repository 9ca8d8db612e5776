"""The doctor says what a published data set has, and what is wrong with it."""

import functools
from pathlib import Path

import numpy as np

from hashhuman.body.smpl.body import SmplBody
from preprocess.body_fit.dataset import DatasetFit
from preprocess.dataset.instant_avatar import InstantAvatar
from preprocess.doctor.given import given
from preprocess.findings import Verdict
from preprocess.frames.dataset import DatasetFrames
from preprocess.masks.dataset import DatasetMasks
from tests.preprocess.dataset import miniature


def test_what_is_there_and_what_is_wrong(tmp_path: Path):
    who = miniature.person(3, miniature.model())
    folder = miniature.instant_avatar(tmp_path / "mine", who, np.eye(4))
    dataset = InstantAvatar(str(folder), {})
    body = functools.partial(SmplBody, root=str(tmp_path), model="SMPL_NEUTRAL.pkl")
    stages = [DatasetFrames(dataset), DatasetFit(body, dataset), DatasetMasks(dataset)]
    found = {finding.name: finding for finding in given(stages)}
    assert found["pictures"].value == f"3 train, of {folder / 'images'}"
    assert found["poses"].value == "3 of SMPL"
    assert found["masks"].value == f"160 x 160, in {folder / 'masks/mask_0000.npy'}"
    (folder / "poses.npz").unlink()
    (folder / "masks/mask_0000.npy").write_bytes(b"damaged")
    found = {finding.name: finding for finding in given(stages)}
    assert found["poses"].verdict is found["masks"].verdict is Verdict.BAD
    assert "poses.npz does not exist" in found["poses"].advice and "mask_0000.npy" in found["masks"].advice
    assert given([]) == []
