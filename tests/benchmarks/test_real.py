"""Cameras that did not film an avatar: the truth is the avatar itself, in a world that a known transform leads to."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import real
from benchmarks.placing import named_joints
from hashhuman.data.subject import SubjectWriter
from hashhuman.errors import UserError
from hashhuman.evaluation.drawing import to_uint8
from hashhuman.evaluation.metrics.lpips import LPIPS, Net
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import read_image, save_npz
from hashhuman.training import run
from tests import tiny, toy
from tests.benchmarks.test_placing import SIMILARITY
from tests.test_train import composed

FIRST = 3  # the picture of the video that is the subject's frame 0


class Difference(LPIPS):
    """In place of LPIPS, whose weights may have to be fetched."""

    def __init__(self, net: Net) -> None:
        nn.Module.__init__(self)
        self.net = net

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).abs().mean()


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy.write_subject(tmp_path_factory.mktemp("subjects") / "toy", n_frames=4, n_cameras=1)
    SubjectWriter(folder).update_meta(
        video={"pictures": list(range(FIRST, FIRST + 4))}, joint_names=list(toy.JOINT_NAMES)
    )
    return folder


@pytest.fixture(scope="module")
def runs(subject: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with refined poses, whose third frame is held out."""
    folder = tmp_path_factory.mktemp("runs")
    options = [
        f"data.root={subject}", f"run_dir={folder / 'toy'}", "trainer.max_steps=12", "data.holdout_every=4",
        "pose=refined", "pose.table.start_step=2", "pose.table.warmup_steps=1", "pose.table.lr=0.01", "eval.splits=[]",
    ]  # fmt: skip
    run.train(composed("train", "data=zju_mocap", *tiny.SMALL, *tiny.TOY, *options))
    return folder


def in_the_other_world(camera: Camera) -> Camera:
    """The camera that sees a point y = s Q x + q where this one sees x: R' = R Q^T, T' = s T - R Q^T q."""
    Q, q = (torch.from_numpy(x).float() for x in (SIMILARITY.R, SIMILARITY.t))
    R = camera.R @ Q.T
    return dataclasses.replace(camera, R=R, T=SIMILARITY.scale * camera.T - R @ q)


@pytest.fixture
def scene(runs: Path, tmp_path: Path) -> Path:
    """The trained avatar as two other cameras see it, in pictures 3, 5 and 30, which the video does not have."""
    module, data, _ = run.load(runs / "toy")
    avatar, writer = module.avatar, SubjectWriter(tmp_path / "toy")
    poses = [avatar.refined_pose(data.subject.pose(frame), frame) for frame in range(4)]
    cameras = [dataclasses.replace(toy.camera(index), height=56) for index in range(3)]
    rows = []
    for picture, frame in ((FIRST, 0), (FIRST + 2, 2), (30, 1)):
        row = [writer.image_path(0, picture)]  # whose picture is missing
        for index in (1, 2):
            time = data.train_frames.index(frame) if frame in data.train_frames else None
            rendered = avatar.render_image(cameras[index], poses[frame], time)
            row.append(writer.write_image(index, picture, to_uint8(rendered.rgb)))
            writer.write_mask(index, picture, rendered.alpha.clamp(0, 1).numpy(force=True))
        rows.append(row)
    writer.write_annots([in_the_other_world(camera) for camera in cameras], [np.zeros(5)] * 3, rows)
    joints = named_joints(data.subject.template(), poses)
    true = np.full((FIRST + 4, len(joints), 3), np.nan)
    true[FIRST:] = np.stack([SIMILARITY(x.astype(float)) for x in joints.values()], 1)
    save_npz(tmp_path / "toy/truth.npz", {"names": np.array(list(joints)), "joints": true})
    return tmp_path / "toy"


def test_other_cameras_see_the_avatar_where_it_is(subject, runs, scene, tmp_path, monkeypatch):
    """The runs' folder and the subject may have moved; held-out frames have the poses that the run gives them."""
    monkeypatch.setattr(real, "LPIPS", Difference)
    row = real.views(scene, subject, runs / "toy", "a label", tmp_path / "sheets")
    assert (row["scene"], row["label"], row["cameras"], row["pictures"]) == ("toy", "a label", 2, 4)
    assert row["scale"] == pytest.approx(SIMILARITY.scale, rel=1e-4) and row["joints_mm"] < 0.1
    assert row["psnr_full"] > 45 and row["psnr_box"] > 45 and row["mask_iou"] > 0.99 and row["ssim_box"] > 0.99
    assert row["lpips_alex_box"] < 0.01
    sheets = sorted(path.name for path in (tmp_path / "sheets/toy").iterdir())
    assert sheets == ["01_000005.png", "02_000005.png"]
    assert read_image(tmp_path / "sheets/toy/01_000005.png").ndim == 3


def test_a_scene_of_one_camera_is_refused(subject, runs):
    with pytest.raises(UserError, match="has no true pictures of other cameras"):
        real.views(subject, subject, runs / "toy", "a label")


def test_the_masks_of_pictures_lie_beside_them(tmp_path):
    assert real.mask_of(tmp_path / "images/04/000010.png") == tmp_path / "mask/04/000010.png"
