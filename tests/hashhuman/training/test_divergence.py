"""Training that breaks down stops with the step, the loss and the rays, and leaves no weights that are no numbers."""

import math

import pytest
import torch

import train
from hashhuman.checks import targets
from hashhuman.data.batch import RayBatch
from hashhuman.errors import UserError
from hashhuman.geometry.rays import Rays
from hashhuman.training import run
from hashhuman.training.divergence import Diverged, Watch, check_weights, load_batch
from hashhuman.training.losses import Loss
from hashhuman.training.manifest import Manifest
from tests.test_train import composed
from tests.tiny import SMALL, TOY


class Poison(Loss):
    """A loss that is infinite at its n-th call."""

    def __init__(self, weight: float, call: int) -> None:
        super().__init__(weight)
        self.left = call

    def forward(self, prediction) -> torch.Tensor:
        """Counts."""
        self.left -= 1
        return prediction.rendering.alpha.mean() * (math.inf if self.left == 0 else 1)


# A term on patches that begins after the run has stopped.
LATE = (
    "+loss.late._target_=hashhuman.training.losses.PatchLoss", "+loss.late.weight=1.0", "+loss.late.start=0.9",
    "+loss.late.data_range=[0.0,1.0]", "+loss.late.distance._target_=tests.hashhuman.training.test_divergence.Poison",
    "+loss.late.distance.weight=1.0", "+loss.late.distance.call=1", "data.ray_sampler.n_patches=1",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _admitted(monkeypatch: pytest.MonkeyPatch):
    """Runs may name the class of these tests."""
    project = targets.admitted
    monkeypatch.setattr(
        targets, "admitted", lambda names=(): project([*names, "tests.hashhuman.training.test_divergence.Poison"])
    )


def test_an_infinite_loss_stops_the_run(toy_folder, tmp_path):
    options = (
        f"data.root={toy_folder}", f"run_dir={tmp_path}", "trainer.max_steps=20", "data.train_frames=4",
        "data.val_views=0", "data.cache_mb=0", "callbacks.checkpoint.every_steps=2",
        "+loss.poison._target_=tests.hashhuman.training.test_divergence.Poison", "+loss.poison.weight=1.0",
        "+loss.poison.call=6", "eval.splits=[]", *LATE,
    )  # fmt: skip
    sentence = (
        rf"^Training broke down at step 6, since the loss poison was inf: .*Its rays are in {tmp_path}/diverged.pt"
    )
    with pytest.raises(UserError, match=sentence):
        train.main(composed("train", "data=zju_mocap", *SMALL, *TOY, *options))
    manifest = Manifest.existing(tmp_path)
    assert not manifest.trained and manifest.step == 4 and not (tmp_path / "checkpoints/last.ckpt").exists()
    step, terms, batch = load_batch(tmp_path)
    assert step == 6 and terms["poison"] == math.inf and math.isfinite(terms["color"])
    assert batch.color.shape == (256, 3) and batch.rays.rays_d.norm(dim=1).allclose(torch.ones(256))
    again = run.replay(tmp_path)
    assert again.keys() == terms.keys() and all(math.isfinite(value) for value in again.values())


def test_a_replay_carves_as_training_did(toy_folder, tmp_path):
    """Without it, the loss that completes the body has nothing to say."""
    options = (
        f"data.root={toy_folder}", f"run_dir={tmp_path}", "trainer.max_steps=20", "data.train_frames=4", "seed=1",
        "data.val_views=0", "data.cache_mb=0", "callbacks.checkpoint.every_steps=2", "callbacks=carved",
        "callbacks.carve.least_views=1", "callbacks.carve.read_after=2", "callbacks.carve.read_every=1",
        "completion_every=1",
        "+loss.poison._target_=tests.hashhuman.training.test_divergence.Poison", "+loss.poison.weight=1.0",
        "+loss.poison.call=6", "eval.splits=[]",
    )  # fmt: skip
    with pytest.raises(UserError, match="Training broke down at step 6"):
        train.main(composed("train", "data=zju_mocap", *SMALL, *TOY, *options))
    assert load_batch(tmp_path)[1]["completion"] > 0
    assert run.replay(tmp_path)["completion"] > 0


def batch_of(count: int, value: float) -> RayBatch:
    rays = Rays(torch.full((count, 3), float(value)), torch.full((count, 3), value + 1.0), torch.arange(count))
    color = torch.full((count, 3), value + 2.0)
    return RayBatch(rays, color, torch.full((count,), value + 3.0), color + 1)


def test_on_the_device_the_first_step_is_kept():
    """As on a GPU, where the host asks only from time to time; later steps are no numbers either."""
    watch, nan = Watch(), torch.tensor(torch.nan)
    for step in range(1, 11):
        watch.keep(torch.tensor(1.0), {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}, batch_of(5, step))
    watch.check(10)
    watch.keep(torch.tensor(1.0), {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}, batch_of(7, 11))  # more rays
    for step in (12, 13, 14):
        watch.keep(nan, {"a": torch.tensor(float(step)), "b": nan}, batch_of(7, step))
    watch.keep(nan, {"a": nan, "b": nan}, batch_of(9, 15))
    with pytest.raises(Diverged, match="at step 12, since the loss b was nan:") as raised:
        watch.check(15)
    kept, expected = raised.value.batch, batch_of(7, 12)
    assert kept is not None and raised.value.terms["a"] == 12
    for mine, theirs in zip(vars(kept).values(), vars(expected).values()):
        if isinstance(mine, Rays):
            assert all(torch.equal(a, b) for a, b in zip(vars(mine).values(), vars(theirs).values()))
        elif mine is not None:
            assert torch.equal(mine, theirs)


def test_a_sum_that_overflows():
    watch, large = Watch(), torch.tensor(3e38)
    with pytest.raises(Diverged, match="the sum of the losses was too large for float32"):
        watch(large * 2, {"a": large}, batch_of(2, 0), step=1)


def test_weights_that_are_no_numbers_are_never_saved():
    layer = torch.nn.Linear(2, 2)
    check_weights(layer, 3)
    layer.bias.data[1] = torch.nan
    with pytest.raises(Diverged, match="the weights bias were not finite after it"):
        check_weights(layer, 3)
