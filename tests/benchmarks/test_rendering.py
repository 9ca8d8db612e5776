"""The benchmark of rendering, with a run of a few steps; nothing here measures speed."""

import shutil
from pathlib import Path

import pytest
import torch

from benchmarks import rendering, speed
from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.evaluation.metrics.image import psnr
from hashhuman.io import checkpoint
from hashhuman.network.torch_mlp import TorchMLPs
from hashhuman.training import run, run_folder
from hashhuman.training.manifest import Manifest
from tests import toy
from tests.tiny import SMALL, TOY


@pytest.fixture(scope="module")
def trained(toy_folder, tmp_path_factory) -> Path:
    """A run on the toy."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    options = ("trainer.max_steps=30", "data.train_frames=4", "data.cache_mb=0", "data.val_views=0", "eval.most=1")
    row = speed.train_here(toy_folder, [*SMALL, *TOY, *options], folder)
    assert row["steps"] == 30 and row["device"] == rendering._device_name()
    return folder


def test_pictures_in_one_pose_and_in_new_poses(trained):
    rows = list(rendering.on_an_orbit(trained, (24, 32), 3))
    assert [(row["size"], row["pose"]) for row in rows] == [
        (24, "the same"), (24, "a new one"), (32, "the same"), (32, "a new one"),
    ]  # fmt: skip
    for row in rows:
        assert row["pictures"] == 3 and 0 < row["median_ms"] <= row["slowest_ms"]
        assert row["per_second"] >= 1000 / row["slowest_ms"]


def test_the_slow_path_has_the_same_quality(trained):
    row = rendering.compared(trained, 2)
    assert row["pictures"] == 2 and row["psnr_full"] == pytest.approx(row["slow psnr_full"], abs=0.05)
    module, data, _ = run.load(trained)
    views = [data.view(data.splits["novel_view"][i]) for i in (0, -1)]
    pictures = [module.avatar.render_image(view.camera, view.pose, view.frame).rgb for view in views]
    by_hand = sum(psnr((p.clamp(0, 1) * 255).round() / 255, view.image) for p, view in zip(pictures, views)) / 2
    assert row["psnr_full"] == pytest.approx(by_hand, abs=1e-3)


def test_the_slow_path_has_no_kernels_and_one_round(trained):
    avatar = rendering.slow(trained)
    options = (avatar.kernels, avatar.sampler.kernels, avatar.skinning.kernels, avatar.field.kernels)
    front, _ = avatar.eager_images.rounds
    assert set(options) == {"torch"} and front[1] > avatar.sampler.n_bins(avatar.scene([toy.pose(0)]).index.shell)
    assert (type(avatar.field.encoder), type(avatar.field.density_network)) == (TorchHashGrids, TorchMLPs)


def test_pruned_cells_are_missing_except_in_the_unpruned_column(trained, tmp_path):
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    state = checkpoint.load(folder / run_folder.CHECKPOINT)
    state["state_dict"]["avatar.occupancy.marked"].zero_()
    torch.save(state, folder / run_folder.CHECKPOINT)
    manifest = Manifest.existing(folder)
    manifest.add(folder, [folder / run_folder.CHECKPOINT])
    manifest.save(folder)
    row, before = rendering.compared(folder, 1), rendering.compared(trained, 1)
    assert row["psnr_full"] == row["slow psnr_full"] != before["slow psnr_full"]
    assert row["unpruned psnr_full"] == pytest.approx(before["unpruned psnr_full"], abs=1e-3)
