"""A few steps of training with every callback and every logger."""

import contextlib
import csv
import dataclasses
import functools
import json
from types import SimpleNamespace
from unittest.mock import create_autospec

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader, TensorDataset

from hashhuman.cpu import loops
from hashhuman.errors import UserError
from hashhuman.io import checkpoint, progress
from hashhuman.io.checkpoint import AtomicCheckpointIO
from hashhuman.io.files import read_image
from hashhuman.renderer.shell_sampler import ShellSampler
from hashhuman.training.callbacks import FirstSampler, ProgressLine, StepThreads, TrainingClock, ValidationPictures


class Toy(L.LightningModule):
    """A module with one weight, whose validation step sets a view and its rendering."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))

    @property
    def logged_at(self) -> int:
        """It logs every step."""
        return self.global_step

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Pulls the weight to zero."""
        loss = (self.weight**2).sum()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        """Sets a view of a square with a darker rendering."""
        mask = torch.zeros(32, 24)
        mask[8:24, 8:16] = 1
        image = mask[..., None].expand(-1, -1, 3)
        view = SimpleNamespace(name=f"00/{batch_idx:06d}", image=image, mask=mask)
        self.last_view = view, SimpleNamespace(rgb=0.8 * image, alpha=mask)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain descent."""
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(tmp_path, logger, *extra, steps: int = 4, module=None, **options) -> L.Trainer:
    """Four steps, validated after every second."""
    trainer = L.Trainer(
        accelerator="cpu",
        default_root_dir=tmp_path,
        logger=logger,
        callbacks=list(extra),
        plugins=[AtomicCheckpointIO()],
        max_steps=steps,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in extra),
        **options,
    )
    loaders = [DataLoader(TensorDataset(torch.zeros(2, 1))) for _ in range(2)]
    trainer.fit(module or Toy(), *loaders)
    return trainer


def test_the_csv_logger_writes_losses_and_pictures(tmp_path):
    fit(tmp_path, CSVLogger(tmp_path, "logs", ""), ValidationPictures())
    with open(tmp_path / "logs/metrics.csv") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert losses == pytest.approx([3 * 0.8 ** (2 * step) for step in range(4)])
    names = sorted(path.name for path in (tmp_path / "logs/val/pictures").iterdir())
    assert names == ["000002.png", "000004.png"]  # not the sanity check's
    page = read_image(tmp_path / "logs/val/pictures/000004.png")
    assert {0, 204, 255} <= set(page[..., 0].ravel().tolist())  # black, the render's square, the truth's


class StopAfterFour(L.Callback):
    """Ends training after four steps."""

    def on_train_batch_end(self, trainer: L.Trainer, *_) -> None:
        """Counts."""
        trainer.should_stop = trainer.global_step == 4


@pytest.mark.parametrize("steps", [4, -1])
def test_progress_as_lines(tmp_path, capsys, monkeypatch, steps):
    """At most one line per tenth of the steps, with the latest loss; every ten seconds if the number is unknown."""
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(progress, "Lines", functools.partial(progress.Lines, clock=lambda: next(now)))
    fit(tmp_path, False, ProgressLine(refresh_every=2), StopAfterFour(), steps=steps, max_epochs=-1)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("training")]
    of = "/4" if steps == 4 else ""
    assert [line.rpartition(", ")[0] for line in lines] == [
        f"training: {n}{of} steps, loss {3 * 0.8 ** (2 * n - 2):.4g}" for n in (2, 4)
    ]


def test_an_older_loss_is_shown_with_its_step(tmp_path, capsys):
    class Sparse(Toy):
        """Logs its first step alone."""

        logged_at = 1

        def training_step(self, batch, batch_idx):
            if self.global_step == 0:
                return super().training_step(batch, batch_idx)
            return (self.weight**2).sum()

    fit(tmp_path, False, ProgressLine(refresh_every=1), module=Sparse(), steps=3)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("training")]
    assert line.startswith("training: 3/3 steps, loss 3 at step 1, ")


def test_an_error_ends_the_progress_display(tmp_path, capsys):
    class Failing(Toy):
        """Breaks at its second step."""

        def training_step(self, batch, batch_idx):
            if batch_idx == 1:
                raise ZeroDivisionError
            return super().training_step(batch, batch_idx)

    with pytest.raises(ZeroDivisionError):
        fit(tmp_path, False, ProgressLine(refresh_every=1), module=Failing())
    assert "training:" not in capsys.readouterr().out


def test_tensorboard_shows_pictures(tmp_path):
    logger = TensorBoardLogger(tmp_path, "tensorboard", "")
    fit(tmp_path, logger, ValidationPictures())
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    assert events.Tags()["images"] == ["val/pictures"] and "train/loss" in events.Tags()["scalars"]
    assert [event.step for event in events.Images("val/pictures")] == [2, 4]


def test_clock_counts_from_the_first_optimizer_step(tmp_path):
    """With a clock that advances by a second at every reading."""
    readings = iter(range(1000))
    now = lambda: float(next(readings))
    clock = TrainingClock(tmp_path / "timing.json", max_seconds=None, nominal_steps=13, now=now)  # reads 0
    trainer, module = create_autospec(L.Trainer, instance=True, global_step=3, world_size=1), Toy()
    clock.on_validation_start(trainer, module)  # the sanity check, 1
    clock.on_validation_end(trainer, module)
    clock.on_before_optimizer_step(trainer, module, None)  # 2
    trainer.global_step = 4
    clock.on_before_optimizer_step(trainer, module, None)
    clock.on_validation_start(trainer, module)  # 3
    clock.on_validation_end(trainer, module)  # 4
    trainer.global_step = 13
    with clock.stopped(module):  # 5
        pass  # 6
    with clock.stopped(module):  # 7
        pass  # 8
    clock.on_train_end(trainer, module)  # 9
    figures = json.loads((tmp_path / "timing.json").read_text())
    assert (figures["setup_s"], figures["train_s"]) == (2, 9 - 2 - 1 - 2)
    assert (figures["validation_s"], figures["checkpoint_s"]) == (1, 2)
    assert figures["marks"] == [[4, 3 - 2]]  # not of the sanity check
    assert figures["steps"] == 10 and figures["device"] == "cpu" and figures["peak_gpu_bytes"] is None
    state = clock.state_dict()  # 10
    later = TrainingClock(tmp_path / "timing.json", max_seconds=None, nominal_steps=13, now=now)  # 11
    later.load_state_dict(state)
    later.on_before_optimizer_step(trainer, module, None)  # 12
    trainer.global_step = 14
    later.on_train_end(trainer, module)  # 13
    figures = json.loads((tmp_path / "timing.json").read_text())
    assert (figures["setup_s"], figures["train_s"], figures["steps"]) == (2 + 1, state["train_s"] + 1, 11)
    assert figures["marks"] == [[4, 1]]
    assert (figures["validation_s"], figures["checkpoint_s"]) == (1, 2)


class Slow(Toy):
    """A module whose steps advance a fake clock by a twentieth of a second."""

    now = 0.0

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Advances the clock."""
        self.now += 0.05
        return super().training_step(batch, batch_idx)


def test_a_budget_ends_training_and_its_schedule(tmp_path):
    module = Slow()
    module.schedule = lambda step, stretch=1.0: step + 1000 * stretch
    clock = TrainingClock(tmp_path / "timing.json", max_seconds=1.0, nominal_steps=40, now=lambda: module.now)
    trainer = fit(tmp_path, False, clock, steps=-1, module=module)
    assert trainer.global_step == 21  # the first is not counted
    figures = json.loads((tmp_path / "timing.json").read_text())
    assert figures["steps"] == 21 and figures["train_s"] == pytest.approx(1.0)
    stretched = 1000 * 21 / 40
    assert module.schedule(21) == pytest.approx(stretched + 40) and module.schedule(0) == pytest.approx(stretched)
    assert module.schedule(10) == pytest.approx(stretched + 40 * 10 / 21, abs=0.1)


@pytest.mark.parametrize(("seconds", "steps"), [(0.0, 10), (5.0, -1)])
def test_invalid_time_budgets_are_refused(tmp_path, seconds: float, steps: int):
    with pytest.raises(UserError, match="must be positive"):
        TrainingClock(tmp_path / "timing.json", seconds, steps)


def test_only_rank_0_writes(tmp_path, capsys):
    trainer = create_autospec(L.Trainer, instance=True, global_step=3, world_size=2, is_global_zero=False)
    trainer.estimated_stepping_batches, trainer.sanity_checking = 5, False
    clock, line, sheet = TrainingClock(tmp_path / "timing.json", None, 5), ProgressLine(1), ValidationPictures()
    module = Toy()
    module.validation_step([], 0)
    line.on_train_start(trainer, module)
    line.on_train_batch_end(trainer, module)
    line.on_train_end(trainer, module)
    assert capsys.readouterr().out == ""
    sheet.on_validation_batch_end(trainer, module, None, None, 0)
    sheet.on_validation_epoch_end(trainer, module)
    clock.on_train_end(trainer, module)
    assert not list(tmp_path.iterdir())


def test_last_checkpoint_resumes_and_a_damaged_one_is_named(tmp_path):
    kept = ModelCheckpoint(
        tmp_path / "checkpoints",
        save_last=True,
        save_top_k=0,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    fit(tmp_path, False, kept, steps=3)  # ends within an epoch
    (path,) = (tmp_path / "checkpoints").iterdir()
    assert path.name == "last.ckpt"
    content = checkpoint.load(path)
    assert content["global_step"] == 3
    torch.testing.assert_close(content["state_dict"]["weight"], torch.full((3,), 0.8**3))
    module = Toy()
    resumed = L.Trainer(
        accelerator="cpu", max_steps=5, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, plugins=[AtomicCheckpointIO()],
    )  # fmt: skip
    resumed.fit(module, DataLoader(TensorDataset(torch.zeros(2, 1))), ckpt_path=str(path))
    torch.testing.assert_close(module.weight.detach(), torch.full((3,), 0.8**5))
    for kept_bytes in (0, 100, path.stat().st_size // 2):
        damaged = tmp_path / "damaged.ckpt"
        damaged.write_bytes(path.read_bytes()[:kept_bytes])
        with pytest.raises(UserError, match=r"damaged\.ckpt is not a readable checkpoint"):
            checkpoint.load(damaged)
    with pytest.raises(UserError, match="There is no checkpoint"):
        checkpoint.load(tmp_path / "none.ckpt")


def test_a_checkpoint_runs_no_code(tmp_path):
    @dataclasses.dataclass
    class Hostile:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"state_dict": Hostile()}, tmp_path / "hostile.ckpt")
    with pytest.raises(UserError, match="hostile"):
        checkpoint.load(tmp_path / "hostile.ckpt")


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path, io = tmp_path / "last.ckpt", AtomicCheckpointIO()
    io.save_checkpoint({"step": 1}, path)

    def fail(value, target):
        target.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(UserError, match="No space left"):
        io.save_checkpoint({"step": 2}, path)
    assert io.load_checkpoint(path) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
    io.remove_checkpoint(path)
    assert not path.exists()


def test_the_first_steps_use_another_sampler(tmp_path):
    own, first = ShellSampler(0.01, 3), ShellSampler(0.03, 1)
    used: dict[str, list[ShellSampler]] = {"training": [], "validation": []}

    class Sampled(Toy):
        avatar = SimpleNamespace(sampler=own)

        def training_step(self, batch, batch_idx):
            used["training"].append(self.avatar.sampler)
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch, batch_idx):
            used["validation"].append(self.avatar.sampler)
            super().validation_step(batch, batch_idx)

    fit(tmp_path, False, FirstSampler(first, 3), module=Sampled())
    assert used["training"] == [first, first, first, own]
    assert used["validation"] and all(sampler is own for sampler in used["validation"])
    fit(tmp_path, False, FirstSampler(first, 3), module=Sampled(), steps=1)
    assert Sampled.avatar.sampler is own


@pytest.mark.parametrize("fails", [False, True])
def test_steps_take_their_own_number_of_threads(tmp_path, fails: bool):
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    used: dict[str, list[int]] = {"training": [], "validation": []}
    of_loops = []

    class Counted(Toy):
        def training_step(self, batch, batch_idx):
            used["training"].append(torch.get_num_threads())
            of_loops.append(loops.n_threads())
            if fails:
                raise ArithmeticError
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch, batch_idx):
            used["validation"].append(torch.get_num_threads())
            super().validation_step(batch, batch_idx)

    try:
        with pytest.raises(ArithmeticError) if fails else contextlib.nullcontext():
            fit(tmp_path, False, StepThreads(2), module=Counted())
        assert set(used["training"]) == {2} and set(used["validation"]) <= {3}
        assert set(of_loops) == {3}  # they keep all
        assert torch.get_num_threads() == loops.n_threads() == 3
        torch.set_num_threads(4)
        assert loops.n_threads() == 4  # no limit is left behind
    finally:
        torch.set_num_threads(usual)
