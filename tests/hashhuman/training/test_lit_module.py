"""Training under Lightning, a few steps of it."""

import csv
import functools
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from hashhuman.data.ray_sampler import RaySampler
from hashhuman.errors import UserError
from hashhuman.training import losses
from hashhuman.training.lit_module import HumanModule
from hashhuman.training.schedules import warmup_then_decay
from hashhuman.training.step.eager import EagerStep
from tests.hashhuman import small
from tests.hashhuman.data.test_datamodule import made as data_module


class Recorder(L.Callback):
    """Notes learning rates and steps."""

    def __init__(self) -> None:
        self.rates, self.steps = [], []

    def on_train_batch_end(self, trainer: L.Trainer, *_) -> None:
        """After every step."""
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        self.steps.append(trainer.global_step)


def made(log_every: int = 2, prune_after: int | None = 3) -> HumanModule:
    avatar = small.avatar(n_frames=4, reach=0.2)
    avatar.prune_after, avatar.prune_every = prune_after, 2
    terms = {"color": losses.ColorLoss(1.0), "mask": losses.MaskLoss(0.5), "off": losses.DistortionLoss(0.0)}
    optimizer = functools.partial(torch.optim.Adam, lr=0.02)
    return HumanModule(avatar, terms, optimizer, warmup_then_decay(2, 8, 0.1), EagerStep, log_every)


def fit(module: HumanModule, toy_folder: Path, folder: Path, log_every: int = 2, max_steps: int = 6, **options):
    recorder = Recorder()
    data = data_module(toy_folder, train_frames=4, reach=0.2, **options)
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=max_steps,
        max_epochs=-1,
        logger=CSVLogger(folder, name="logs", version=""),
        callbacks=[recorder],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        log_every_n_steps=log_every,
    )
    torch.manual_seed(0)
    trainer.fit(module, datamodule=data)
    with (folder / "logs/metrics.csv").open() as file:
        return trainer, data, recorder, list(csv.DictReader(file))


class Mean(torch.nn.Module):
    """A distance between pictures that notes how often it was asked."""

    asked = 0

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean difference."""
        self.asked += 1
        return (x - y).abs().mean()


def test_a_term_begins_when_its_share_of_the_training_is_over(toy_folder, tmp_path, monkeypatch):
    """Patches are drawn from then on, and the step is told."""
    told, patches = [], []
    monkeypatch.setattr(EagerStep, "remeasure", lambda step: told.append(module.global_step))
    draw = RaySampler.draw
    monkeypatch.setattr(
        RaySampler, "draw", lambda *arguments: patches.append(draw(*arguments).patch) or draw(*arguments)
    )
    module = made(log_every=1)
    module.losses["patches"] = losses.PatchLoss(1.0, Mean(), (0.0, 1.0), start=0.5)
    sampler = RaySampler(64, {"body": 1.0}, 2, 8, "black")
    *_, rows = fit(module, toy_folder, tmp_path, log_every=1, ray_sampler=sampler)
    assert patches == [None] * 3 + [(2, 8, 8)] * 3 and told == [3]
    assert module.losses["patches"].distance.asked == 3
    assert [bool(row.get("train/patches")) for row in rows if row.get("train/loss")] == [False] * 3 + [True] * 3


def test_a_rare_term_is_computed_every_nth_step_and_keeps_the_step_eager(toy_folder, tmp_path):
    module, obstacles = made(log_every=1), []
    module.losses["patches"] = losses.PatchLoss(1.0, Mean(), (0.0, 1.0))
    module.losses["patches"].every = 3
    make = module.make_step
    module.make_step = lambda *arguments, obstacle: obstacles.append(obstacle) or make(*arguments, obstacle=obstacle)
    sampler = RaySampler(64, {"body": 1.0}, 2, 8, "black")
    *_, rows = fit(module, toy_folder, tmp_path, log_every=1, ray_sampler=sampler)
    assert [bool(row.get("train/patches")) for row in rows if row.get("train/loss")] == [False, False, True] * 2
    assert module.losses["patches"].distance.asked == 2
    module.avatar.capture_obstacle = lambda: None
    fit(module, toy_folder, tmp_path / "again", ray_sampler=sampler)
    assert obstacles[-1] == "loss.patches.every is above 1"


def test_a_loss_on_patches_without_patches_is_refused_before_the_first_step(toy_folder, tmp_path):
    module = made()
    module.losses["patches"] = losses.PatchLoss(1.0, Mean(), (0.0, 1.0), start=0.5)
    with pytest.raises(UserError, match=r"data\.ray_sampler\.n_patches=1"):
        fit(module, toy_folder, tmp_path)
    assert module.step is None


@pytest.fixture(scope="module")
def fitted(toy_folder, tmp_path_factory):
    """A module after six steps, with the trainer, the data, a recorder and the logged rows."""
    module = made()
    return module, *fit(module, toy_folder, tmp_path_factory.mktemp("fitted"))


def test_every_batch_is_a_step_at_its_rate(fitted):
    _, trainer, _, recorder, _ = fitted
    assert recorder.steps == [1, 2, 3, 4, 5, 6] and trainer.global_step == 6
    factor = warmup_then_decay(2, 8, 0.1)
    assert recorder.rates == pytest.approx([0.02 * factor(step) for step in recorder.steps])  # of the step to come


def test_logged_losses_belong_to_their_step(fitted, toy_folder, tmp_path):
    """Each logged value belongs to its own step: values logged every second step are among those of every step."""
    *_, rows = fitted
    sparse = {int(row["step"]): row for row in rows if row.get("train/loss")}
    assert sorted(sparse) == [1, 3, 5]  # Lightning counts from 0
    for row in sparse.values():
        assert float(row["train/loss"]) == pytest.approx(float(row["train/color"]) + 0.5 * float(row["train/mask"]))
        assert "train/off" not in row
    again = made(log_every=1)
    *_, rows = fit(again, toy_folder, tmp_path / "again", log_every=1)
    dense = {int(row["step"]): row for row in rows if row.get("train/loss")}
    assert sorted(dense) == [0, 1, 2, 3, 4, 5]
    for step, row in sparse.items():
        assert float(row["train/loss"]) == pytest.approx(float(dense[step]["train/loss"]), rel=1e-4)


def test_training_changes_every_part(fitted):
    before, after = made().avatar.field.color_network, fitted[0].avatar.field.color_network
    for part, name in enumerate(fitted[0].avatar.field.names):
        assert not torch.equal(before.weights[0][part], after.weights[0][part]), name


def test_pruning_starts_at_its_step(fitted, toy_folder, tmp_path, monkeypatch):
    """Before that step, and without pruning, all cells are marked."""
    assert fitted[0].avatar.occupancy.density.isfinite().any()
    prunings = []
    for after in (4, None):
        module, seen = made(prune_after=after), []
        monkeypatch.setattr(module.avatar, "prune", seen.append)
        fit(module, toy_folder, tmp_path / str(after))
        assert all(scene is module.scene for scene in seen)
        prunings.append(len(seen))
    assert prunings == [2, 0]  # at steps 4 and 6


def test_validation_measures_whole_pictures(fitted):
    module, _, data, _, rows = fitted
    psnr = []
    module.eval()
    for view in data.val_dataloader():
        assert view.frame is None and int(view.name[-6:]) >= 4  # poses that training did not see
        image = module.avatar.render_image(view.camera, view.pose, view.frame)
        psnr.append(-10 * torch.log10(((image.rgb - view.image) ** 2).mean()))
    shown, rendered = module.last_view
    assert shown.name == view.name
    torch.testing.assert_close(rendered.rgb, image.rgb, atol=1e-5, rtol=1e-4)
    logged = [float(row["val/psnr"]) for row in rows if row.get("val/psnr")]
    assert logged[-1] == pytest.approx(torch.stack(psnr).mean().item(), abs=1e-3)


def test_the_scene_has_the_bodies_of_the_training_frames(fitted):
    module, _, data, _, _ = fitted
    assert module.scene.bodies.time.tolist() == [0, 1, 2, 3]
    for posed, frame in zip(module.scene.bodies.vertices, data.train_frames):
        expected = data.subject.template().pose_vertices(data.subject.pose(frame).body_pose)
        torch.testing.assert_close(posed, expected)
